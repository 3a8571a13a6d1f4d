-- Starts or renews a lease.
-- ARGV  1 node, 2 ttl in ms, 3 tenure if it is a new one, 4 what the node says of itself, 5 most nodes
-- Gives 1 renewed, 0 new, -1 too many.
expire()
local tenure, state = ARGV[3], 0
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  tenure, state = tenure_of(held), 1
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  return -1
end
redis.call('HSET', KEYS[1], ARGV[1], struct.pack('>I8', now + ARGV[2]) .. tenure .. ARGV[4])
return state
