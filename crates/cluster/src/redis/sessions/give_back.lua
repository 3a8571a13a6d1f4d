-- Undoes a claim whose answer nobody waited for: the session is its last owner's again, as if it had never been asked for.
-- Who gave up has a fence that nobody knows of, so none of its writes can come.
-- KEYS  1 record, 2 what it was before
-- ARGV  1 mark of the claim
-- Gives 1, and 0 where it never came about, or somebody has claimed the session since.
local before = redis.call('GET', KEYS[2])
if not before then return 0 end
local mark, claimed, fence, owner, node, is_attached = unpack(cmsgpack.unpack(before))
if mark ~= ARGV[1] or redis.call('HGET', KEYS[1], 'f') ~= claimed then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'f', fence, 'o', owner, 'n', node, 'a', is_attached)
return 1
