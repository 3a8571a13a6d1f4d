-- KEYS: hash, entries. Keys used for it are void with its epoch.
local existed = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
return existed
