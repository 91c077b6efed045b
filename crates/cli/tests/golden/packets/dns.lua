-- Shows messages, and changes some.
local dns = require('protocol/dns')

dns.install_udp_rule(53)

haka.rule{
    hook = dns.events.query,
    eval = function(dns, query)
        print('query', query.id, query.question[1].name, query.question[1].type, query.rd)
        if query.id == 4 then dns:drop() end
    end
}
haka.rule{
    hook = dns.events.response,
    eval = function(dns, response, query)
        print('response', response.id, query.id, response.rcode, response.ra, #response.answer)
        if response.id == 1 then debug.pprint(response) end
        if response.id == 2 then
            -- In place.
            response.answer[2].ip = ipv4.addr('10.0.0.1')
            response.answer[3].ttl = 1
            response.aa = true
        elseif response.id == 3 then
            -- Anew.
            response.answer[1].cname = 'elsewhere.example.org'
            table.remove(response.answer, 3)
            table.insert(response.additional, { name = 'x.example.org', type = 'TXT', ttl = 5, text = 'more' })
        end
    end
}
