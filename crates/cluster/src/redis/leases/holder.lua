-- The tenure of a node; nothing where it has no lease.
-- ARGV  1 node
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and ends_at(held) > now then return tenure_of(held) end
return nil
