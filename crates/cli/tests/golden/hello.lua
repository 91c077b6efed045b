-- protocol/tls: what both sides say in their hellos.
local tls = require('protocol/tls')

tls.install_tcp_rule(80)

haka.rule{
    hook = tls.events.client_hello,
    eval = function(flow, hello)
        print(hello.sni, hello.version, table.concat(hello.versions, " "), table.concat(hello.alpn, " "))
        print(#hello.ciphers, #hello.extensions, hello.ech, hello.early_data, hello.ja4)
    end
}

haka.rule{
    hook = tls.events.server_hello,
    eval = function(flow, hello) print("server", hello.version, hello.cipher, hello.alpn, hello.retry) end
}
