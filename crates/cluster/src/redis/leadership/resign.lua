-- Gives the lead up. The last epoch stays.
-- KEYS  1 epoch (8 bytes) and name of who leads
-- ARGV  1 candidate
-- Gives 1 given up, 0 it was another's, or nobody's.
local held = redis.call('GET', KEYS[1])
if not held or held:sub(9) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
