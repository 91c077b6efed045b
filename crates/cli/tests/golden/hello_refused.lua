-- protocol/tls: a name that is refused.
local tls = require('protocol/tls')

tls.install_tcp_rule(80)

haka.rule{
    hook = tls.events.client_hello,
    eval = function(flow, hello)
        print(hello.sni, hello.version, table.concat(hello.versions, " "), table.concat(hello.alpn, " "))
        print(#hello.ciphers, #hello.extensions, hello.ech, hello.early_data, hello.ja4)
        if hello.sni == "www.example.org" then flow:reset() end
    end
}

haka.rule{
    hook = tls.events.server_hello,
    eval = function(flow, hello) print("server", hello.version, hello.cipher, hello.alpn, hello.retry) end
}
