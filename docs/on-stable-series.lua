-- Derives a series from every CT series that has become stable.
--
-- Orthanc runs it when its configuration names it: "LuaScripts": ["docs/on-stable-series.lua"]. What "Rules" in the
-- configuration cannot say can be said here; rules miss nothing while Orthanc is down, a script does.

PIPELINE = 'gaussian_smoothing'

-- The software's mark on what it made: without this the script would fire on its own results.
function IsDerived(seriesId)
  local series = ParseJson(RestApiGet('/series/' .. seriesId))
  local tags = ParseJson(RestApiGet('/instances/' .. series['Instances'][1] .. '/simplified-tags'))
  for _, item in ipairs(tags['ContributingEquipmentSequence'] or {}) do
    if item['Manufacturer'] == 'Derived Series for Orthanc' then
      return true
    end
  end
  return false
end

function OnStableSeries(seriesId, tags, metadata)
  if tags['Modality'] ~= 'CT' or IsDerived(seriesId) then
    return
  end
  local request = {}
  request['Pipeline'] = PIPELINE
  request['Asynchronous'] = true    -- Orthanc waits for this function: only ask for the job
  request['IfExists'] = 'Reuse'     -- a series may become stable several times with the same instances
  local answer = RestApiPost('/series/' .. seriesId .. '/derive', DumpJson(request, true))
  print('derived series: job ' .. (ParseJson(answer)['ID'] or answer))
end
