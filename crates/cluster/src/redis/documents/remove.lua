-- Removes a document, if it still has this revision.
-- KEYS  1 documents: name -> revision (8 bytes), body; 2 names by revision
-- ARGV  1 name, 2 revision
-- Gives 1 removed, 0 not.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or struct.unpack('>I8', held) ~= tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
