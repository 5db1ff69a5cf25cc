//! Questions to the network: what follows, what if, why; and what is said to questions that make no sense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod mistakes;

use kmh_cli::{Env, Exit};
use serde_json::{Value, json};

const SIX: &str = include_str!("../../../../examples/ipv6-only/cluster.yaml");
const TWO: &str = include_str!("../../../../examples/two-routers/cluster.yaml");
const ARTICLE: &str = include_str!("../../../../examples/article/cluster.yaml");

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

/// Asks with these words and this stream.
fn ask(words: &str, stream: &str) -> Said {
    let args = std::iter::once("kmh-bgpcfg").chain(words.split_whitespace());
    let (mut env, captured) = Env::fake(args, stream);
    let exit = kmh_bgpcfg::run(&mut env);
    Said { exit, out: captured.stdout_text(), err: captured.stderr_text() }
}

/// The answer in JSON.
fn answer(words: &str, stream: &str) -> Value {
    let said = ask(&format!("{words} -o json"), stream);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err))
}

/// The article's network document.
fn network() -> Value {
    let said = ask("plan --only", ARTICLE);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

fn router<'a>(network: &'a mut Value, name: &str) -> &'a mut Value {
    let routers = network["spec"]["routers"].as_array_mut().unwrap();
    routers.iter_mut().find(|router| router["name"] == name).unwrap()
}

/// Takes a rule of the packet filter away, by what it is for.
fn without(network: &mut Value, name: &str, description: &str) {
    let rules = router(network, name)["firewall"].as_array_mut().unwrap();
    let before = rules.len();
    rules.retain(|rule| rule["description"] != description);
    assert!(rules.len() < before, "{name} has no rule `{description}`");
}

fn calico(network: &mut Value, kind: &str, change: fn(&mut Value)) {
    for resource in network["spec"]["calico"].as_array_mut().unwrap() {
        if resource["kind"] == kind {
            change(&mut resource["spec"]);
        }
    }
}

fn ids(answer: &Value) -> Vec<String> {
    let mut ids: Vec<String> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| format!("{} {}", finding["level"].as_str().unwrap(), finding["id"].as_str().unwrap()))
        .collect();
    ids.dedup();
    ids
}

#[test]
fn a_sound_network_has_no_findings() {
    let said = ask("predict -o json", ARTICLE);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(ids(&answer), ["note stale-routes"], "how long is a choice that everybody makes");
    assert_eq!(answer["assumed"], true);
    let names: Vec<&str> =
        answer["tables"].as_array().unwrap().iter().map(|table| table["machine"].as_str().unwrap()).collect();
    assert_eq!(names, ["fw-attic", "fw-flat", "gw-vps", "attic-1", "flat-1", "pi-1", "vps-1"]);
}

#[test]
fn a_cut_tunnel_moves_traffic_over_the_third_site() {
    let answer = answer("what-if --down tunnel/fw-attic--fw-flat", ARTICLE);
    let scenario = &answer["scenarios"][0];
    assert_eq!(scenario["lost"], json!([]));
    assert_eq!(scenario["partitions"], json!([]));
    let moved = scenario["moved"].as_array().unwrap();
    let pods = moved.iter().find(|one| one["from"] == "attic" && one["what"] == "pods").unwrap();
    assert_eq!(pods["before"]["tunnels"], json!(["fw-attic--fw-flat"]));
    assert_eq!(pods["after"]["routers"], json!(["fw-attic", "gw-vps", "fw-flat"]));
    assert_eq!(pods["after"]["tunnels"], json!(["fw-attic--gw-vps", "fw-flat--gw-vps"]));
    assert_eq!(pods["outage_ms"], json!([2000, 3500]));
    assert!(moved.iter().all(|one| one["from"] != "vps"), "{moved:?}");
}

#[test]
fn every_single_failure_and_every_two() {
    let single = answer("what-if --all-single", ARTICLE);
    let scenarios = single["scenarios"].as_array().unwrap();
    let names: Vec<&str> = scenarios.iter().map(|one| one["down"][0].as_str().unwrap()).collect();
    for name in
        ["site/vps", "router/fw-flat", "uplink/fw-attic/dsl", "tunnel/fw-flat--gw-vps", "node/attic-1"]
    {
        assert!(names.contains(&name), "{name} is not tried: {names:?}");
    }
    let of = |name: &str| scenarios.iter().find(|one| one["down"] == json!([name])).unwrap();
    assert_eq!(of("uplink/fw-attic/dsl")["partitions"], json!([["attic"], ["flat", "vps"]]));
    let alike = scenarios.iter().find(|one| one["like"].is_array()).unwrap();
    assert_eq!((&alike["down"], &alike["like"]), (&json!(["node/flat-1"]), &json!(["node/pi-1"])));
    assert!(
        alike["moved"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["part"] == true && one["outage_ms"] == json!([6000, 9500])),
        "half of the services' connections hang until the hold time is over: {alike}"
    );
    for one in scenarios {
        if let Some([from, to]) = one["outage_ms"].as_array().map(Vec::as_slice) {
            let (from, to) = (from.as_u64().unwrap(), to.as_u64().unwrap());
            assert!(to <= 2 * from.max(1), "a range that says nothing: {one}");
        }
    }
    let pairs = answer("what-if --all-pairs --of tunnel", ARTICLE);
    let pairs = pairs["scenarios"].as_array().unwrap();
    assert_eq!(pairs.len(), 3);
    assert!(pairs.iter().all(|pair| pair["partitions"].as_array().unwrap().len() == 2), "{pairs:?}");
    // A site and its own router are the site alone: of 15 pairs 3 are none.
    let pairs = answer("what-if --all-pairs --of site,router", ARTICLE);
    assert_eq!(pairs["scenarios"].as_array().unwrap().len(), 3 + 3 + 6);
}

/// What is named beside a series is down in each of its scenarios, and no scenario by itself.
#[test]
fn a_hub_that_is_down_is_named() {
    let star = ARTICLE.replace("shape: mesh", "shape: hub, hub: vps");
    let text = |inventory: &str, down: &str| ask(&format!("what-if -o text --down {down}"), inventory).out;
    let said = "`vps` is the hub, where every tunnel ends: without it no two sites are joined";
    assert!(text(&star, "site/vps").contains(said), "{}", text(&star, "site/vps"));
    for (inventory, down) in [(star.as_str(), "site/flat"), (ARTICLE, "site/vps")] {
        assert!(!text(inventory, down).contains("is the hub"), "{down}");
    }
}

#[test]
fn what_the_next_failure_would_do() {
    let next = answer("what-if --all-single --of tunnel --down tunnel/fw-attic--fw-flat", ARTICLE);
    let told = |key: &str| -> Vec<Value> {
        next["scenarios"].as_array().unwrap().iter().map(|one| one[key].clone()).collect()
    };
    assert_eq!(told("down"), [json!(["tunnel/fw-attic--gw-vps"]), json!(["tunnel/fw-flat--gw-vps"])]);
    // No way is left by which anything could have moved.
    assert_eq!(
        told("partitions"),
        [json!([["attic"], ["flat", "vps"]]), json!([["attic", "vps"], ["flat"]])]
    );
    assert!(told("lost").iter().all(|lost| lost[0].is_object()), "{next}");
}

/// What a node that went down sent and got has not moved to its neighbour.
#[test]
fn a_node_that_is_down_moves_nothing_but_services() {
    let answer = answer("what-if --down node/flat-1", ARTICLE);
    let moved = answer["scenarios"][0]["moved"].as_array().unwrap();
    assert!(!moved.is_empty());
    assert!(moved.iter().all(|one| one["what"].is_object() && one["from"] == "flat"), "{moved:?}");
}

/// The range leads to other nodes when the service's own one is down, and kube-proxy drops it there.
#[test]
fn a_service_without_a_pod_is_lost() {
    let asked = "--service 10.202.0.7=attic-1 --service 10.201.0.7=attic-1 --service 10.202.0.8=flat-1,pi-1";
    let gone = answer(&format!("what-if --down node/attic-1 {asked}"), ARTICLE);
    let lost: Vec<&str> = gone["scenarios"][0]["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"]["service"].as_str().unwrap())
        .collect();
    assert_eq!(lost, ["10.201.0.7", "10.202.0.7"].repeat(3));
    let half = answer(&format!("what-if --down node/flat-1 {asked}"), ARTICLE);
    assert_eq!(half["scenarios"][0]["lost"], json!([]), "pi-1 has a pod of it");
    // A pod on any node reaches it while there is one.
    assert_eq!(answer(&format!("why vps-1 10.202.0.7 {asked}"), ARTICLE)["arrives"], true);
    let why = answer(&format!("why vps-1 10.202.0.7 {asked} --down node/attic-1"), ARTICLE);
    assert_eq!(
        (&why["arrives"], &why["there"]["end"]),
        (&json!(false), &json!("dropped by a blackhole route"))
    );
}

/// A router's own addresses are closed to the cluster, the other router's among them: the rule that lets nodes answer is
/// for what enters from nodes, and opens nothing for what comes out of a tunnel.
#[test]
fn a_router_does_not_lead_to_the_address_of_the_other() {
    let why = answer("why vps-1 gw-b", TWO);
    assert_eq!(
        (&why["arrives"], &why["there"]["end"]),
        (&json!(false), &json!("dropped by the packet filter"))
    );
    assert_eq!(answer("why vps-1 office-1", TWO)["arrives"], true);
}

/// Detection in a fraction of a second: the news needs longer than that to spread.
#[test]
fn outages_say_something_however_short() {
    let inventory = ARTICLE.replace("bgp: {layout: A}", "bgp: {layout: A, timers: {routers: {bfd_ms: 100}}}");
    let answer = answer("what-if --down tunnel/fw-attic--fw-flat", &inventory);
    assert_eq!(answer["scenarios"][0]["outage_ms"], json!([400, 800]));
}

#[test]
fn a_segment_is_asked_by_its_own_rules() {
    let end = |words: &str| {
        let said = ask(&format!("why {words} -o json"), ARTICLE);
        let answer: Value = serde_json::from_str(&said.out).unwrap();
        (answer["there"]["end"].clone(), answer["there"]["at"].clone())
    };
    assert_eq!(end("192.168.10.50 10.201.0.10"), (json!("delivered"), json!("attic-1")));
    // Services are all that `home` may reach.
    assert_eq!(end("192.168.10.50 10.10.0.11"), (json!("dropped by the packet filter"), json!("fw-attic")));
    assert_eq!(
        end("192.168.10.50 10.200.64.193"),
        (json!("dropped by the packet filter"), json!("fw-attic"))
    );
    assert_eq!(end("192.168.10.50 8.8.8.8"), (json!("sent to the Internet"), json!("fw-attic")));
}

#[test]
fn why_a_packet_goes_where_it_goes() {
    let answer = answer("why attic-1 pi-1", ARTICLE);
    assert_eq!((&answer["arrives"], &answer["symmetric"]), (&json!(true), &json!(true)));
    let hops = answer["there"]["hops"].as_array().unwrap();
    let names: Vec<&str> = hops.iter().map(|hop| hop["machine"].as_str().unwrap()).collect();
    assert_eq!(names, ["attic-1", "fw-attic", "fw-flat", "pi-1"]);
    assert_eq!(hops[1]["tunnel"], "fw-attic--fw-flat");
    assert_eq!(hops[1]["as_path"], json!([65020]));
    assert_eq!(hops[1]["second"], json!({"from": "gw-vps", "lost_at": "as_path"}));
    let page = ask("why attic-1 pi-1 -o text", ARTICLE).out;
    for text in ["2 fw-attic", "through fw-attic--fw-flat", "before gw-vps: longer AS path", "and back"] {
        assert!(page.contains(text), "{text} is missing:\n{page}");
    }
    let said = ask("why attic-1 8.8.8.8 -o json", ARTICLE);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["there"]["end"], "sent to the Internet");
}

/// A name is the machine's own address; only a router that sends takes that of its tunnel.
#[test]
fn routers_are_asked_by_their_own_address() {
    let ends = |words: &str| {
        let said = ask(&format!("why {words} -o json"), ARTICLE);
        let answer: Value = serde_json::from_str(&said.out).unwrap();
        (answer["from"].clone(), answer["to"].clone(), answer["there"]["end"].clone())
    };
    assert_eq!(ends("attic-1 fw-flat"), (json!("10.10.0.11"), json!("10.20.0.1"), json!("delivered")));
    assert_eq!(ends("fw-attic fw-flat"), (json!("10.255.0.5"), json!("10.20.0.1"), json!("delivered")));
    let filtered = json!("dropped by the packet filter");
    assert_eq!(ends("fw-attic pi-1"), (json!("10.255.0.5"), json!("10.20.0.21"), filtered));
    assert_eq!(ends("fw-attic attic-1"), (json!("10.10.0.1"), json!("10.10.0.11"), json!("delivered")));
}

#[test]
fn questions_that_make_no_sense() {
    let refusals = [
        ("why attic-1 nobody", "there is no node, router or address `nobody`"),
        ("why nobody nothing", "there is no node, router or address `nothing`"),
        ("why attic-1 fd00::1", "of different families"),
        ("why 192.0.2.77 attic-1", "no machine of the network sends from `192.0.2.77`"),
        ("why vps-1 attic-1 --down site/vps", "`vps-1` is down in this scenario"),
        ("predict --down router/fw-nowhere", "there is no router `fw-nowhere`"),
        ("predict --down fw-attic", "`fw-attic` names nothing that can be down"),
        ("predict --service 10.201.0.80=nobody", "`nobody`"),
        ("predict --service 10.99.0.1=attic-1", "10.99.0.1"),
        ("predict --service x --down router/nobody,fw", "there is no router `nobody`"),
        ("draw --service x --down nobody", "`--service x` says no service"),
        ("why attic-1 127.0.0.1", "is the address of no machine that others reach"),
        ("why 224.0.0.5 0.0.0.0", "2 errors"),
        ("what-if", "nothing is down in this question"),
        ("what-if --down tunnel/a--b", "there is no tunnel `a--b`"),
        ("what-if --all-single --limit fw-attic", "takes no `--limit`"),
        ("why attic-1 pi-1 --limit fw-attic", "takes no `--limit`"),
        ("draw --limit fw-attic", "takes no `--limit`"),
        ("predict -o svg", "does not print `svg`"),
        ("draw -o json", "does not print `json`"),
    ];
    for (words, text) in refusals {
        let said = ask(words, ARTICLE);
        assert_eq!(said.exit, Exit::Wrong, "{words}: {}{}", said.out, said.err);
        assert!(said.err.contains(text), "{words}: {text} is missing in\n{}", said.err);
        assert!(said.out.is_empty(), "{words}: {}", said.out);
    }
}

#[test]
fn blocks_are_the_clusters_when_somebody_saw_them() {
    let with = |blocks: Value| {
        let blocks = json!({"kind": "kmh.blocks/v1", "from": {}, "spec": {"blocks": blocks}});
        format!("{}\n{blocks}\n", network())
    };
    let stream = with(json!([
        {"cidr": "10.200.5.64/26", "node": "attic-1"},
        {"cidr": "10.200.70.0/26", "node": "pi-1", "state": "pending"},
    ]));
    let answer = answer("predict --limit gw-vps", &stream);
    assert_eq!(answer["assumed"], false);
    let prefixes: Vec<&str> = answer["tables"][0]["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| route["prefix"].as_str().unwrap())
        .collect();
    assert!(prefixes.contains(&"10.200.5.64/26"), "{prefixes:?}");
    assert!(!prefixes.contains(&"10.200.70.0/26"), "a pending block is not announced: {prefixes:?}");
    let near = json!({"kind": "kmh.blocks/v1", "from": {}, "spec": {
        "blocks": [{"cidr": "10.200.64.0/26", "node": "flat-1"}, {"cidr": "10.200.64.64/26", "node": "pi-1"}],
        "borrowed": [{"address": "10.200.64.7", "node": "pi-1"}],
    }});
    let borrowed = json!({"kind": "kmh.blocks/v1", "from": {}, "spec": {
        "blocks": [{"cidr": "10.200.0.64/26", "node": "attic-1"}, {"cidr": "10.200.64.64/26", "node": "pi-1"}],
        "borrowed": [{"address": "10.200.0.70", "node": "pi-1"}],
    }});
    let at_pi = ask("predict --limit pi-1 -o text", &format!("{}\n{near}\n", network())).out;
    let words = "second: of the kernel, and BIRD prefers BGP's";
    assert!(at_pi.lines().any(|line| line.contains("itself  ") && line.ends_with(words)), "{at_pi}");
    let found = ids(&self::answer("predict", &format!("{}\n{borrowed}\n", network())));
    assert_eq!(found, ["error refused-block", "note stale-routes"], "out of another site's pool");
    let said = ask(
        "predict",
        &with(json!([
            {"cidr": "10.99.0.0/26", "node": "attic-1"},
            {"cidr": "10.200.5.64/26", "node": "nobody"},
        ])),
    );
    assert_eq!(said.exit, Exit::Wrong);
    for text in ["spec.blocks[0]", "10.99.0.0/26", "spec.blocks[1]", "`nobody`"] {
        assert!(said.err.contains(text), "{text} is missing in\n{}", said.err);
    }
}

/// One mistake does not hide another of another kind.
#[test]
fn all_that_is_wrong_with_a_question() {
    let blocks = json!({"kind": "kmh.blocks/v1", "from": {}, "spec": {
        "blocks": [{"cidr": "10.99.0.0/26", "node": "attic-1"}]}});
    let stream = format!("{}\n{blocks}\n", network());
    let wrong = "--service x --service 10.201.0.9=nobody --services no-such-file --down node/attic-9";
    for words in ["why here there", "draw --path here there"] {
        let said = ask(&format!("{words} {wrong}"), &stream);
        assert_eq!((said.exit, said.out.as_str()), (Exit::Wrong, ""), "{words}: {}", said.err);
        for text in [
            "`10.99.0.0/26` is outside every pool",
            "`--service x` says no service",
            "there is no node `nobody`\n  at --service 10.201.0.9=nobody\n",
            "no-such-file",
            "there is no node `attic-9`",
            "there is no node, router or address `here`",
            "there is no node, router or address `there`",
            "7 errors",
        ] {
            assert!(said.err.contains(text), "{words}: {text} is missing in\n{}", said.err);
        }
    }
}

/// A page is for a terminal of 100 columns.
#[test]
fn answers_fit_a_terminal() {
    let ten = ten_sites();
    for (words, stream) in [
        ("predict -v", ARTICLE),
        ("predict -v", TWO),
        ("predict -v", SIX),
        ("what-if --all-single", ARTICLE),
        ("what-if --down router/gw-vps", ARTICLE),
        ("why attic-1 pi-1", ARTICLE),
        ("what-if --down site/site-number-0", &ten),
        ("what-if --down tunnel/gw-0--gw-1", &ten),
        ("what-if --all-single", &ten),
        ("why node-1 node-2", &ten),
        ("what-if --down router/gw-a", TWO),
        (
            "what-if --down tunnel/gw-with-a-long-name-1--gw-with-a-long-name-2",
            &ten.replace("gw-", "gw-with-a-long-name-"),
        ),
    ] {
        let said = ask(&format!("{words} -o text"), stream);
        assert_eq!(said.exit, Exit::Done, "{words}: {}", said.err);
        let long: Vec<&str> = said.out.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{words}: {long:#?}");
    }
}

/// Where words do not fit, marks say the same.
#[test]
fn many_sites_have_marks() {
    let ten = ten_sites();
    let page = ask("what-if --down tunnel/gw-0--gw-1 -o text", &ten).out;
    let row = |n: usize| page.lines().find(|line| line.contains(&format!("site-number-{n} "))).unwrap();
    assert_eq!(row(0), "1   site-number-0  .  M  .  .  .  .  .  .  .  .");
    assert_eq!(row(9), "10  site-number-9  .  .  .  .  .  .  .  .  .  .");
    let page = ask("what-if --down router/gw-9 -o text", &ten).out;
    assert!(
        page.contains(
            "\n10  site-number-9  L  L  L  L  L  L  L  L  L  .\n. as before, M moved, L lost, - down\n"
        ),
        "{page}"
    );
    let page = ask("what-if --all-single --of router -o text", &ten).out;
    assert!(page.contains("site-number-9 | the other 9\n"), "{page}");
}

/// An inventory of ten sites in a full mesh.
fn ten_sites() -> String {
    let (head, rest) = ARTICLE.split_once("  operator:").unwrap();
    let sites: Vec<String> = (0..10)
        .map(|n| {
            format!(
                "    - {{name: site-number-{n}, network: 10.{n}.0.0/24, pod_cidrs: [10.200.{}.0/20], routers: \
                 [{{name: gw-{n}, id: {}, kind: linux, bgp: frr, asn: {}, address: 10.{n}.0.1, interface: lan0, \
                 uplinks: [{{name: wan, interface: wan0, address: 203.0.113.{}}}]}}]}}\n",
                16 * n,
                n + 1,
                65001 + n,
                10 + n,
            )
        })
        .collect();
    let nodes: Vec<String> = (0..10)
        .map(|n| {
            let roles = if n < 3 { "control-plane, etcd, worker" } else { "worker" };
            format!(
                "    - {{name: node-{n}, site: site-number-{n}, address: 10.{n}.0.11, roles: [{roles}]}}\n"
            )
        })
        .collect();
    assert!(rest.contains("sites:"));
    format!(
        "{head}  operator: {{site: site-number-0}}\n  sites:\n{}  nodes:\n{}",
        sites.concat(),
        nodes.concat()
    )
}
