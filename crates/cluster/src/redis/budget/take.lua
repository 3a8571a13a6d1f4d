-- A token bucket that all nodes take from (GCRA): what is kept is when it will be full again.
-- KEYS  1 bucket: Unix time in microseconds
-- ARGV  1 microseconds in which a token comes in, 2 tokens it holds, 3 tokens wanted at least, 4 at most
-- Gives how many are granted; or 0, and the microseconds after which to ask again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local empty = now + ARGV[2] * interval

-- A bucket that was filled more slowly, or by a clock that was ahead, may be emptier than an empty one is from now on.
local full_at = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), empty)
local lacking = full_at + ARGV[3] * interval - empty
if lacking > 0 then return { 0, math.ceil(lacking) } end

local granted = math.min(math.floor((empty - full_at) / interval), tonumber(ARGV[4]))
full_at = full_at + granted * interval
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1000)
return { granted, 0 }
