//! DOT and Mermaid.

use super::*;

fn graph(spec: &NetworkSpec, format: Format, options: Options<'_>) -> String {
    draw(spec, &Options { format, ..options })
}

#[test]
fn graphviz_reads_what_is_written_for_it() {
    let mut all = String::new();
    for shape in shapes().filter(|shape| shape.sites < 26) {
        let spec = network(shape, "s");
        let text = graph(&spec, Format::Dot, Options { nodes: Nodes::Each, ..Options::default() });
        for router in &spec.routers {
            assert_eq!(times(&text, &format!("    \"router {}\" [", router.name)), 1);
        }
        for node in &spec.nodes {
            assert_eq!(times(&text, &format!("    \"node {}\" [", node.name)), 1);
        }
        assert_eq!(times(&text, "subgraph "), shape.sites);
        assert_eq!(times(&text, "tooltip="), spec.tunnels.len());
        all.push_str(&text);
    }
    let (well, said) = ask("dot", &["-Tcanon"], &all);
    assert!(well && !said.contains("Warning") && !said.contains("Error"), "{said}");
    assert_eq!(times(&said, "graph kmh {"), times(&all, "graph kmh {"));
}

#[test]
fn names_are_names_to_graphviz() {
    let mut spec = network(ARTICLE, "s");
    let nasty = "a\"];b\\n\\\"<c>&lt;{|}\\";
    spec.nodes[0].name = nasty.to_owned();
    spec.routers[0].sessions[0].peer = nasty.to_owned();
    let text = graph(&spec, Format::Dot, Options { title: Some(nasty), ..Options::default() });
    // `plain` says what each label is, after its escape sequences.
    let (well, said) = ask("dot", &["-Tsvg"], &text);
    assert!(well, "{said}");
    let wanted = "a&quot;];b\\n\\&quot;&lt;c&gt;&amp;lt;{|}\\</text>";
    assert_eq!(times(&said, wanted), 2, "the node and the title: {said}");
}

#[test]
fn a_large_mesh_does_not_overwhelm_graphviz() {
    let spec = network(Shape { sites: 12, nodes: 0, ..ARTICLE }, "s");
    let text = graph(&spec, Format::Dot, Options::default());
    let (well, said) = ask("dot", &["-Tplain"], &text);
    assert!(well, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("edge ")).count(), 66);
}

#[test]
fn graphs_tell_what_is_down_and_the_path() {
    let spec = network(Shape { sites: 3, routers: 1, lines: 2, nodes: 2, hub: false }, "s");
    let down = Down { uplinks: set(&["s00-r0/line0"]), nodes: set(&["s02-n1"]), ..Down::default() };
    let options = Options {
        down: Some(&down),
        path: path(&["s00-n0", "s00-r0", "s01-r0", "s01-n1"]),
        ..Options::default()
    };

    let dot = graph(&spec, Format::Dot, options.clone());
    let dead: Vec<&str> =
        dot.lines().filter(|line| line.contains(" -- ") && line.contains("#c2410c")).collect();
    assert_eq!(dead.len(), 5, "four tunnels and a session: {dead:#?}");
    let way: Vec<&str> = dot.lines().filter(|line| line.contains("penwidth=4")).collect();
    assert_eq!(way.len(), 7, "four machines and three steps: {way:#?}");
    assert!(
        dot.contains("label=\"× s02-n1\"") && dot.contains("Down: line s00-r0/line0, node s02-n1"),
        "{dot}"
    );

    let chart = graph(&spec, Format::Mermaid, options);
    assert_eq!(times(&chart, "|\"× down\"|"), 4);
    let styles: Vec<&str> = chart.lines().filter(|line| line.starts_with("  linkStyle ")).collect();
    let numbers = |line: &str| line.split(' ').nth(3).unwrap().split(',').count();
    assert_eq!(styles.iter().map(|line| numbers(line)).collect::<Vec<_>>(), [5, 3], "{chart}");
    assert!(chart.contains("  class n5 dead\n") && chart.contains("  class r0,n0,r1,n3 way\n"), "{chart}");
}

#[test]
fn a_step_without_a_session_has_a_line() {
    let spec = network(ARTICLE, "s");
    let options = Options { path: path(&["s00-n0", "s00-n1"]), ..Options::default() };
    assert_eq!(
        times(&graph(&spec, Format::Dot, options.clone()), "\"node s00-n0\" -- \"node s00-n1\" [color"),
        1
    );
    let chart = graph(&spec, Format::Mermaid, options);
    check(&chart);
    assert!(chart.contains("  n0 --- n1\n") && chart.contains("  linkStyle 9 "), "{chart}");
}

/// The subset that is written: lines of a few shapes, subgraphs that end, links between what there is.
fn check(chart: &str) {
    let mut lines = chart.lines();
    assert_eq!(lines.next(), Some("flowchart TB"));
    let (mut ids, mut links, mut open) = (BTreeSet::new(), vec![], 0);
    let quoted = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect(text);
        let markup = inner.replace("<br/>", "");
        assert!(!markup.contains(['"', '<', '>', '[', ']', '{', '}', '|', '&', '`', '\\']), "{inner}");
    };
    for line in lines {
        let line = line.trim_start();
        if line.starts_with("%%") {
            assert!(!line.contains('{'), "{line} would be a directive");
        } else if let Some(rest) = line.strip_prefix("subgraph ") {
            let (id, label) = rest.split_once('[').unwrap();
            assert!(ids.insert(id.to_owned()));
            quoted(label.strip_suffix(']').unwrap());
            open += 1;
        } else if line == "end" {
            open -= 1;
        } else if let Some(rest) = line.strip_prefix("linkStyle ") {
            for number in rest.split_once(' ').unwrap().0.split(',') {
                assert!(number.parse::<usize>().unwrap() < links.len(), "{line}");
            }
        } else if let Some(rest) = line.strip_prefix("class ") {
            for id in rest.split_once(' ').unwrap().0.split(',') {
                assert!(ids.contains(id), "{line}");
            }
        } else if line.starts_with("classDef ") {
        } else if let Some((from, rest)) = line.split_once(" ---").or_else(|| line.split_once(" -.-")) {
            let to = match rest.strip_prefix('|') {
                Some(rest) => {
                    let (label, to) = rest.split_once("| ").unwrap();
                    quoted(label);
                    to
                }
                None => rest.trim_start(),
            };
            links.push((from.to_owned(), to.to_owned()));
        } else {
            let at = line.find(['[', '(', '{']).unwrap_or_else(|| panic!("{line:?} is of no known shape"));
            assert!(ids.insert(line[..at].to_owned()), "{line}");
            quoted(line[at..].trim_matches(['[', ']', '(', ')', '{', '}']));
        }
    }
    assert_eq!(open, 0);
    for (from, to) in &links {
        assert!(ids.contains(from) && ids.contains(to), "{from} – {to}");
    }
    assert!(links.len() <= 500, "{} links are more than a page draws", links.len());
    assert!(chart.len() <= 50_000, "{} characters are more than a page reads", chart.len());
}

#[test]
fn flowcharts_keep_to_the_subset_and_to_what_pages_draw() {
    for shape in shapes() {
        let spec = network(shape, "s");
        let down = Down { sites: set(&["s00"]), ..Down::default() };
        let way = path(&["s00-n0", "s00-r0", "s01-r0", "s01-n1", "s01-n2"]);
        let chart =
            graph(&spec, Format::Mermaid, Options { down: Some(&down), path: way, ..Options::default() });
        check(&chart);
        assert_eq!(times(&chart, "subgraph "), shape.sites);
        for router in &spec.routers {
            assert_eq!(times(&chart, &format!("{}<br/>", router.name)), 1, "{}", router.name);
        }
    }
    let chart = graph(&network(ARTICLE, "s"), Format::Mermaid, Options::default());
    assert_eq!(times(&chart, "|\"MTU 14"), 3);
    assert_eq!(times(&chart, " --- n"), 6);
}

#[test]
fn names_are_names_to_mermaid() {
    let mut spec = network(ARTICLE, "s");
    let nasty = "a\"]:::x;b<script>#quot;`c`|{d}\n%%{init}";
    spec.nodes[0].name = nasty.to_owned();
    spec.nodes[0].site = nasty.to_owned();
    let chart = graph(&spec, Format::Mermaid, Options { title: Some(nasty), ..Options::default() });
    check(&chart);
    assert!(chart.contains("a#34;#93;:::x#59;b#60;script#62;#35;quot#59;"), "{chart}");
}
