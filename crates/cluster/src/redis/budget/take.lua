-- A token bucket that all nodes take from (GCRA): what is kept is when the bucket will be full again.
-- KEYS  1 bucket
-- ARGV  1 tokens a second, 2 tokens it holds, 3 tokens wanted at least, 4 at most
-- Gives how many are granted, and else 0 and the microseconds after which to ask again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each = 1000000 / ARGV[1]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
-- A clock that was set back, or a rate that was lower before, leaves a bucket emptier than empty.
full_at = math.min(full_at, now + ARGV[2] * each)

local there = math.floor((now + ARGV[2] * each - full_at) / each + 0.000001)
if there < tonumber(ARGV[3]) then
  return { 0, math.ceil((ARGV[3] - there) * each - ((now + ARGV[2] * each - full_at) - there * each)) }
end
local granted = math.min(there, tonumber(ARGV[4]))
full_at = full_at + granted * each
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1000)
return { granted, 0 }
