-- Takes a route away if it is of this fence, or of this tenure. Gives it; nothing where there is none.
-- KEYS  1 route
-- ARGV  1 where the mark begins in the route, 2 the mark: a tenure or a fence, 8 bytes
local held = redis.call('GET', KEYS[1])
if not held or held:sub(ARGV[1], ARGV[1] + 7) ~= ARGV[2] then return nil end
redis.call('DEL', KEYS[1])
return held
