-- Says where a session is. Gives 0 where there is a route of a newer fence.
-- KEYS  1 route: tenure (8 bytes), fence (8 bytes), where and whose
-- ARGV  1 fence, 2 route
local held = redis.call('GET', KEYS[1])
if held and struct.unpack('>I8', held, 9) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
