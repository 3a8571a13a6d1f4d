-- Revokes until a time; never for a shorter time than before.
-- KEYS  1 revocation, or what says that there are some
-- ARGV  1 until: Unix ms
if redis.call('PEXPIRETIME', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], 1, 'PXAT', ARGV[1])
end
return 1
