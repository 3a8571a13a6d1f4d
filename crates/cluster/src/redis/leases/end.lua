-- Ends a node's lease now.
-- ARGV  1 node
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then finish(ARGV[1], held) end
return 1
