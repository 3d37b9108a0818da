// Runs in Orthanc Explorer (jQuery Mobile 1.1), which the plugin hands it to. The pages of series and studies get a
// button "Derive..."; that of a derived series the verdict on it, with a button "Review..."; that of a study a list of
// its derived series with their verdicts.
(function () {
  var STATES = { Unreviewed: 'Waiting for review', Rejecting: 'Is being rejected' };

  /** A verdict in words: its state, by whom, when and why. */
  function words(verdict) {
    var text = STATES[verdict.State] || verdict.State;
    var time = verdict.Time ? new Date(verdict.Time) : null;
    if (verdict.User) text += ' by ' + verdict.User;
    if (time && !isNaN(time)) text += ', ' + time.toLocaleString();
    if (verdict.Meaning) text += ': ' + verdict.Meaning;
    return verdict.Reason ? text + ' (' + verdict.Reason + ')' : text;
  }

  function get(path) {
    return $.ajax({ url: '../' + path, dataType: 'json', cache: false });
  }

  /** Call `then` with the verdict on a series, if the series is a derived one and the user may see it. */
  function withVerdict(series, then) {
    get('series/' + series + '/sources').done(function (sources) {
      if (sources && sources.Provenance) get('series/' + series + '/review').done(then);
    });
  }

  function toReview(series) {
    return '../derived-series/review/' + encodeURIComponent(series);
  }

  function button(page, level) {
    $(page).live('pagebeforecreate', function () {
      var place = $(page + '-delete').parent().parent();
      var verdict = $('<div>').attr('id', level + '-verdict').attr('role', 'status');
      verdict.css({ margin: '1em 0', maxHeight: '50vh', overflowY: 'auto' });
      verdict.insertBefore(place);
      if (level === 'series') {
        $('<a>').attr('data-role', 'button').attr('href', '#').attr('data-ajax', 'false').attr('data-icon', 'check')
          .attr('id', 'series-review').text('Review...').hide().insertBefore(place);
      }
      var link = $('<a>')
        .attr('data-role', 'button')
        .attr('href', '#')
        .attr('data-icon', 'star')
        .attr('id', level + '-derive')
        .text('Derive...');
      link.insertBefore(level === 'study' ? verdict : place); // a study may have many derived series
      link.click(function (event) {
        event.preventDefault();
        if ($.mobile.pageData) {
          var query = '?' + level + '=' + encodeURIComponent($.mobile.pageData.uuid);
          window.location.assign('../derived-series/derive.html' + query);
        }
      });
    });
  }

  /** The SeriesNumber of a series; without one, it comes last. */
  function numberOf(series) {
    var number = parseInt(series.MainDicomTags.SeriesNumber, 10);
    return isNaN(number) ? Number.MAX_VALUE : number;
  }

  /** Whether the page still shows what was asked for. */
  function isShown(id) {
    return $.mobile.pageData && $.mobile.pageData.uuid === id;
  }

  $('#series').live('pageshow', function () {
    var series = $.mobile.pageData && $.mobile.pageData.uuid;
    $('#series-verdict').empty();
    $('#series-review').hide();
    if (!series) return;
    withVerdict(series, function (verdict) {
      if (!isShown(series)) return;
      $('#series-verdict').text('Derived series. ' + words(verdict));
      $('#series-review').attr('href', toReview(series)).show();
    });
  });

  $('#study').live('pageshow', function () {
    var study = $.mobile.pageData && $.mobile.pageData.uuid;
    $('#study-verdict').empty();
    if (!study) return;
    get('studies/' + study + '/series').done(function (all) {
      all.sort(function (one, other) { return numberOf(one) - numberOf(other); });
      $.each(all, function (_, series) {
        var line = $('<div>').appendTo('#study-verdict'); // in their order, whichever verdict comes first
        withVerdict(series.ID, function (verdict) {
          if (!isShown(study)) return;
          var tags = series.MainDicomTags;
          var name = $.grep([tags.SeriesNumber, tags.Modality, tags.SeriesDescription], Boolean).join(' \u00b7 ');
          line.append(
            $('<a>').attr('href', toReview(series.ID)).attr('data-ajax', 'false').text(name || 'Derived series'),
            $('<span>').text(': ' + words(verdict))
          );
        });
      });
    });
  });

  button('#series', 'series');
  button('#study', 'study');
})();
