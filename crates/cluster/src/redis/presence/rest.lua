-- Takes channels out of the index of a tenure, unless they came in again since they were looked at.
-- KEYS  1 index: channels by when someone joined there last
-- ARGV  1 the time up to which an entry may go, 2.. channels
for at = 2, #ARGV do
  local joined = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if joined and tonumber(joined) <= tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[at]) end
end
return 1
