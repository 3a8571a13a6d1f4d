-- Every tenure that has not ended.
local tenures = {}
for _, lease in ipairs(redis.call('HVALS', KEYS[1])) do
  if ends_at(lease) > now then table.insert(tenures, tenure_of(lease)) end
end
return tenures
