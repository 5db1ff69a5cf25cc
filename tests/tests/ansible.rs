//! A tool inside somebody else's Ansible run: the play of `examples/ansible/`, with the real `ansible-playbook`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use kmh_tests::sandbox::{Ran, Sandbox, root};

/// Runs the play of the examples against a folder.
fn play(sandbox: &Sandbox, options: &str) -> Ran {
    let play = root().join("examples/ansible/play.yaml");
    sandbox.sh(&format!(
        "ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false HOME=$PWD ansible-playbook -i localhost, \
         -e target=$PWD/site {options} {}",
        play.display()
    ))
}

/// How many tasks changed something, from the recap.
fn changed(ran: &Ran) -> u32 {
    let recap = ran
        .stdout
        .lines()
        .find(|line| line.starts_with("localhost") && line.contains("changed="))
        .expect("a recap");
    let (_, count) = recap.split_once("changed=").unwrap();
    count.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_play_renders_one_router_with_kmh() {
    let sandbox = Sandbox::new();
    // What would be done: said, with the difference, and not done.
    let checked = play(&sandbox, "--check --diff").exits(0);
    assert!(changed(&checked) > 0, "{}", checked.stdout);
    assert!(checked.stdout.contains("+router bgp 65030"), "{}", checked.stdout);
    assert!(!sandbox.has("site"), "--check wrote something");

    let first = play(&sandbox, "").exits(0);
    assert!(changed(&first) > 0, "{}", first.stdout);
    assert!(sandbox.read("site/frr.conf").contains("router bgp 65030"));
    assert!(!sandbox.has("site/none"), "the planned store was made");

    assert_eq!(changed(&play(&sandbox, "").exits(0)), 0, "a second run changes nothing");
    assert_eq!(changed(&play(&sandbox, "--check").exits(0)), 0);
}

#[test]
fn a_wrong_inventory_fails_the_play_with_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.sh("sed -i 's/asn: 65030/ans: 65030/' cluster.yaml").exits(0);
    let ran = play(&sandbox, "-e inventory=$PWD/cluster.yaml");
    assert_ne!(ran.code, 0);
    assert!(
        ran.stdout.contains("unknown field `ans`") || ran.stdout.contains("unknown key `ans`"),
        "{}",
        ran.stdout
    );
    assert!(!sandbox.has("site"));
}

#[test]
fn the_ansible_form_is_what_register_wants() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "play.yaml",
        r"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.command: kmh-pki ensure --store {{ playbook_dir }}/pki --init --check -o ansible -i cluster.yaml
      register: run
      check_mode: false
      changed_when: (run.stdout | from_json).changed
      failed_when: (run.stdout | from_json).failed
    - ansible.builtin.assert:
        that:
          - run is changed
          - (run.stdout | from_json).documents | selectattr('kind', 'equalto', 'kmh.pki/v1') | length == 1
",
    );
    sandbox
        .sh("ANSIBLE_LOCALHOST_WARNING=false HOME=$PWD ansible-playbook -i localhost, --check play.yaml")
        .exits(0);
    assert!(!sandbox.has("pki"), "--check made a store");
}
