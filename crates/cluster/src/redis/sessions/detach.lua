-- Lets a session go until its client comes back.
-- ARGV  4 ttl in ms
local state = owned()
if state == SAVED then
  redis.call('HSET', KEYS[1], 'a', 0)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return state
