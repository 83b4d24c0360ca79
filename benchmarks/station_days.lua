-- Asks for one station's day after the other, so that no two requests of a run are alike until all
-- stations and days were asked for.
-- Arguments: the path with {station}, {from} and {to}; a file of station names, one a line; the first
-- day as YYYY-MM-DD; how many days; where to begin.

local requests, at = {}, 0

function init(arguments)
  local template, names, days = arguments[1], arguments[2], tonumber(arguments[4])
  local year, month, day = arguments[3]:match("(%d+)-(%d+)-(%d+)")
  local noon = os.time({year = year, month = month, day = day, hour = 12})
  local stations = {}
  for name in io.lines(names) do
    stations[#stations + 1] = name
  end
  for number = 0, days - 1 do
    local from = os.date("%Y-%m-%d", noon + number * 86400)
    local to = os.date("%Y-%m-%d", noon + (number + 1) * 86400)
    for _, station in ipairs(stations) do
      local parts = {station = station, from = from, to = to}
      requests[#requests + 1] = wrk.format("GET", (template:gsub("{(%w+)}", parts)))
    end
  end
  at = tonumber(arguments[5])
end

function request()
  -- A prime that divides no likely number of requests: the walk visits all, far from one another.
  at = (at + 3671) % #requests
  return requests[at + 1]
end
