-- Counts one more under KEYS[1]: one each ARGV[1] microseconds, ARGV[2] of them at once. The key holds the
-- time at which all is free again, by the clock of this server, and goes at that time.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local window = interval * tonumber(ARGV[2])

-- What somebody else has put there, and a time that cannot be, counts as nothing.
local kept = redis.pcall('GET', KEYS[1])
local free = type(kept) == 'string' and tonumber(kept) or now
if not (free > now and free <= now + window) then
    free = now
end

free = free + interval
local over = free - now - window
if over > 0 then
    return { 0, over }
end
redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000))
return { 1, math.floor((now + window - free) / interval) }
