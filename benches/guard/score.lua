-- One request, sent again and again: path, key and body come from the environment.
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("BENCH_KEY") or "none")
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()

local bad = 0
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() refused = 0 end
function response(status) if status ~= 200 then refused = refused + 1 end end
function done(summary)
  local refused = 0
  for _, thread in ipairs(threads) do refused = refused + (thread:get("refused") or 0) end
  io.write(string.format("BENCH %d %d %d\n", summary.requests, refused,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
