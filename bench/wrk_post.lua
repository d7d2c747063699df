-- wrk -s wrk_post.lua URL -- BODY_FILE AUTHORIZATION : POST the file's bytes again and again; at the end one line of JSON.
-- No function `request` or `response`: wrk would call Lua for each request, and be slower than what it measures.
function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = args[2]
  file:close()
end

function done(summary, latency, requests)
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\n{"answers": %d, "refused": %d, "broken": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.errors.status, broken, summary.duration, latency:percentile(50), latency:percentile(99)))
end
