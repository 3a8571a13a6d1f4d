-- Tenures that have ended and may have left something, the first to end first.
-- ARGV  1 most
expire()
local ended = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)
if #ended == 0 then return ended end

-- Whoever saw a tenure before its lease may have taken it for one that has ended.
local live = {}
for _, lease in ipairs(redis.call('HVALS', KEYS[1])) do
  live[tenure_of(lease)] = true
end
local truly = {}
for _, tenure in ipairs(ended) do
  if live[tenure] then
    redis.call('ZREM', KEYS[2], tenure)
  else
    table.insert(truly, tenure)
  end
end
return truly
