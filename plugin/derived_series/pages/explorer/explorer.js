// Runs in Orthanc Explorer (jQuery Mobile 1.1), which the plugin hands it to: a button on the pages of series and studies.
(function () {
  function button(page, level) {
    $(page).live('pagebeforecreate', function () {
      var link = $('<a>')
        .attr('data-role', 'button')
        .attr('href', '#')
        .attr('data-icon', 'star')
        .attr('id', level + '-derive')
        .text('Derive...');
      link.insertBefore($(page + '-delete').parent().parent());
      link.click(function (event) {
        event.preventDefault();
        if ($.mobile.pageData) {
          var query = '?' + level + '=' + encodeURIComponent($.mobile.pageData.uuid);
          window.location.assign('../derived-series/derive.html' + query);
        }
      });
    });
  }

  button('#series', 'series');
  button('#study', 'study');
})();
