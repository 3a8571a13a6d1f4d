-- Ends a session whoever owns it. Gives nothing where there is none, and else in whose indexes it is.
-- KEYS  1 record
local held = redis.call('HMGET', KEYS[1], 'u', 'n')
if redis.call('DEL', KEYS[1]) == 0 then return nil end
return held
