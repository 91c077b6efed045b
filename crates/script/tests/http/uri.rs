//! `http.uri` and `http.cookies`.
use crate::common::Scene;

fn said(script: &str) -> Vec<String> {
    let mut scene = Scene::new(&format!(
        "local http = require('protocol/http')
        haka.rule{{ hook = tcp_connection.events.new_connection, eval = function() {script} end }}"
    ));
    scene.open();
    scene.said()
}

#[test]
fn a_target_is_split_into_its_parts_and_put_together_again() {
    let parts = "print(u.scheme, u.authority, u.userinfo, u.user, u.pass, u.host, u.port, u.path, u.query, u.fragment)
        print(tostring(u))";
    for (text, wanted) in [
        (
            "http://user:pw@www.example.com:8080/a/b.php?x=1&y=&z#end",
            "http\tuser:pw@www.example.com:8080\tuser:pw\tuser\tpw\twww.example.com\t8080\t/a/b.php\tx=1&y=&z\tend",
        ),
        ("/a?b?c=d", "nil\tnil\tnil\tnil\tnil\tnil\tnil\t/a\tb?c=d\tnil"),
        ("*", "nil\tnil\tnil\tnil\tnil\tnil\tnil\t*\tnil\tnil"),
        ("http://[fd00::1]:81", "http\t[fd00::1]:81\tnil\tnil\tnil\t[fd00::1]\t81\tnil\tnil\tnil"),
        ("https://h", "https\th\tnil\tnil\tnil\th\tnil\tnil\tnil\tnil"),
        // What names a host only, as in CONNECT.
        (
            "www.example.com:443",
            "nil\twww.example.com:443\tnil\tnil\tnil\twww.example.com\t443\tnil\tnil\tnil",
        ),
        ("h/a?b", "nil\th\tnil\tnil\tnil\th\tnil\t/a\tb\tnil"),
        ("//h/a", "nil\th\tnil\tnil\tnil\th\tnil\t/a\tnil\tnil"),
        ("/a/http://x", "nil\tnil\tnil\tnil\tnil\tnil\tnil\t/a/http://x\tnil\tnil"),
    ] {
        assert_eq!(said(&format!("local u = http.uri.split('{text}') {parts}")), [wanted, text]);
    }
    assert_eq!(
        said("local a = http.uri.split('/?x=1&y=&z&x=2&=3').args print(a.x, a.y, a.z, a[''])"),
        ["2\t\t\tnil"]
    );
    assert_eq!(
        said("local u = http.uri.split('/a') u.scheme = 'http' u.host = 'h' u.port = 81 print(u)"),
        ["http://h:81/a"]
    );
}

#[test]
fn arguments_that_are_changed_make_another_query() {
    let change = |change: &str| {
        said(&format!("local u = http.uri.split('/a?x=1&y&x=2#f') {change} print(u)"))
    };
    assert_eq!(change("u.args.x = '2'"), ["/a?x=1&y&x=2#f"], "it has not changed");
    assert_eq!(change("u.args.x = 3"), ["/a?x=3&y=#f"]);
    assert_eq!(change("u.args.x = nil u.args.z = 'new' u.args.b = ''"), ["/a?y=&b=&z=new#f"]);
    assert_eq!(change("u.args = {}"), ["/a#f"]);
    assert_eq!(change("u.args.x = 'no' u.query = 'q'"), ["/a?q#f"], "who sets the whole means it");
    assert_eq!(change("u.args.x = '%7e%41' u:normalize()"), ["/a?x=~A&y=#f"]);
}

#[test]
fn targets_that_mean_the_same_become_the_same() {
    for (text, wanted) in [
        ("HTTP://ExAmple.COM:80", "http://example.com/"),
        ("https://h:80/x", "https://h:80/x"),
        ("/%7euser/%2e%2E/%3a%2f", "/%3A%2F"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/../../x", "/x"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/a//b", "/a//b"),
        ("/a?q=%41%2a", "/a?q=A%2A"),
        ("Example.com/../x", "http://example.com/x"),
    ] {
        assert_eq!(said(&format!("print(http.uri.normalize('{text}'))")), [wanted], "{text}");
    }
    assert_eq!(said("print(http.uri.split('/a/../b'):normalize().path)"), ["/b"]);
}

#[test]
fn cookies_are_split() {
    assert_eq!(
        said(
            "local c = http.cookies.split(' a=1; b=x=y ;c; d = ') print(c.a, c.b, c.c, c.d) print(c)"
        ),
        ["1\tx=y\tnil\t", "a=1; b=x=y; d="]
    );
    assert_eq!(said("print(next(http.cookies.split(nil)))"), ["nil"]);
}
