//! Programs from the operator's folder: how they are found, what they must be, and what becomes of them in a folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{World, architectures, artifact, bundle, mode, no_leftovers, node, program, text, tree};

const PUSH: [&str; 4] = ["--to", "dir:out", "--artifacts", "programs"];

fn put(world: &World, name: &str, bytes: &[u8]) {
    let path = world.at("programs").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn sh(world: &World, line: &str) {
    let ran = Command::new("sh").args(["-ec", line]).current_dir(world.path()).output().unwrap();
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn machine(name: &str, arch: &str, artifacts: &[Value]) -> Value {
    let mut machine = node(name, &[text("/etc/a.conf", "0644", "a\n")]);
    machine["arch"] = json!(arch);
    machine["artifacts"] = json!(artifacts);
    machine
}

/// What two machines of different architectures need.
fn both() -> String {
    let of = |arch: &str| {
        [
            artifact(
                "/usr/local/bin/kubelet",
                arch,
                &format!("https://dl.k8s.io/v1.2/bin/linux/{arch}/kubelet"),
            ),
            artifact(
                "/usr/local/bin/etcd",
                arch,
                &format!("https://github.com/e/etcd-v1-linux-{arch}.tar.gz"),
            ),
            artifact(
                "/usr/local/bin/etcdctl",
                arch,
                &format!("https://github.com/e/etcd-v1-linux-{arch}.tar.gz"),
            ),
            artifact("/usr/local/sbin/runc", arch, &format!("https://github.com/r/runc.{arch}")),
        ]
    };
    bundle(&[machine("n1", "amd64", &of("amd64")), machine("pi", "arm64", &of("arm64"))])
}

/// An archive as upstream packs it: folders, other files, long names, and the programs.
fn pack(world: &World, arch: &str, programs: &[&str]) {
    let folder = world.at("pack").join(format!("etcd-v1-linux-{arch}"));
    std::fs::create_dir_all(folder.join("Documentation").join("x".repeat(120))).unwrap();
    std::fs::create_dir_all(folder.join("Documentation/etcd")).unwrap();
    std::fs::write(folder.join("README.md"), "etcd\n").unwrap();
    for (number, name) in (0_u8..).zip(programs) {
        // Told apart by what comes after their end.
        std::fs::write(folder.join(name), [program(arch), vec![number; 5000]].concat()).unwrap();
    }
    std::fs::create_dir_all(world.at("programs")).unwrap();
    sh(world, &format!("tar -C pack -czf programs/etcd-v1-linux-{arch}.tar.gz etcd-v1-linux-{arch}"));
}

/// Everything, laid down in all the ways that are looked for.
fn fill(world: &World) {
    put(world, "dl.k8s.io/v1.2/bin/linux/amd64/kubelet", &program("amd64"));
    put(world, "amd64/kubelet", b"not this one");
    put(world, "arm64/kubelet", &program("arm64"));
    put(world, "arm64/runc.arm64", &program("arm64"));
    put(world, "runc.amd64", &program("amd64"));
    for arch in ["amd64", "arm64"] {
        pack(world, arch, &["etcd", "etcdctl"]);
    }
    sh(world, "cd programs; sha256sum etcd*.gz >SHA256SUMS; sha256sum runc.amd64 >runc.sha256sum");
    sh(world, "cd programs/arm64; sha256sum kubelet | cut -d' ' -f1 >kubelet.sha256");
}

#[test]
fn programs_are_files_of_their_machines() {
    let world = World::new();
    fill(&world);
    let dry = world.push(&[&PUSH[..], &["--dry-run", "-o", "text"]].concat(), &both()).exits(0);
    for line in ["pi:/usr/local/bin/etcd", "+<kubelet 1.2 for arm64, ", "+<runc 1.2 for amd64, "] {
        assert!(dry.stdout.contains(line), "no {line:?} in\n{}", dry.stdout);
    }
    assert!(!world.at("out").exists());
    let ran = world.push(&[&PUSH[..], &["-v"]].concat(), &both()).exits(0);
    let ran = ran.says("kubelet 1.2 for amd64: programs/dl.k8s.io/v1.2/bin/linux/amd64/kubelet, ");
    for (name, arch) in [("n1", "amd64"), ("pi", "arm64")] {
        assert_eq!(ran.written(name), 5);
        let at = |path: &str| world.at("out").join(name).join(path);
        for (path, end) in [
            ("usr/local/bin/kubelet", vec![]),
            ("usr/local/bin/etcd", vec![0; 5000]),
            ("usr/local/bin/etcdctl", vec![1; 5000]),
            ("usr/local/sbin/runc", vec![]),
        ] {
            assert_eq!(mode(&at(path)), 0o755, "{path}");
            assert!(std::fs::read(at(path)).unwrap() == [program(arch), end].concat(), "{name}: {path}");
        }
    }
    let before = tree(&world.at("out"));
    let again = world.push(&PUSH, &both()).exits(0);
    assert_eq!((&again.report()["changed"], &again.machine("pi")["unchanged"]), (&json!(false), &json!(5)));
    // Another version, and one that somebody spoiled.
    put(&world, "arm64/runc.arm64", &[program("arm64"), vec![9]].concat());
    std::fs::write(world.at("out/pi/usr/local/bin/etcd"), "spoilt").unwrap();
    let dry = world.push(&[&PUSH[..], &["--dry-run", "-o", "text"]].concat(), &both()).exits(0);
    assert!(dry.stdout.contains("-<another one, sha256 "), "{}", dry.stdout);
    let third = world.push(&PUSH, &both()).exits(0);
    assert_eq!(
        third.machine("pi")["written"],
        json!([{"path": "/usr/local/bin/etcd", "reason": "content"}, {"path": "/usr/local/sbin/runc", "reason": "content"}])
    );
    assert_eq!(third.written("n1"), 0);
    assert_eq!(tree(&world.at("out"))["pi/usr/local/bin/etcd"], before["pi/usr/local/bin/etcd"]);
    no_leftovers(&world.at("out"));
    // Without the option they are left alone, and that is said.
    let ran = world.push(&["--to", "dir:out", "-v"], &both()).exits(0);
    assert_eq!(ran.machine("pi")["unchanged"], 1);
    ran.says("pi: 4 programs are listed in the bundle, and left alone without `--artifacts`");
}

#[test]
fn a_folder_that_is_wrong_is_refused_whole_and_nothing_is_written() {
    let world = World::new();
    fill(&world);
    let (is, must) = ("is a program for amd64", "and must be a program for arm64");
    let whole = program("arm64");
    let packed = std::fs::read(world.at("programs/etcd-v1-linux-arm64.tar.gz")).unwrap();
    let etcd = "programs/etcd-v1-linux-arm64.tar.gz";
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        ("arm64/kubelet", program("amd64"), &["`programs/arm64/kubelet` is a program for amd64", must]),
        ("arm64/kubelet", whole[..whole.len() - 1].to_vec(), &["is cut off: it has "]),
        ("arm64/kubelet", b"#!/bin/sh\n".to_vec(), &["is a script, and must be a program for arm64"]),
        ("arm64/kubelet", b"<html>not found".to_vec(), &["is a web page, and must be"]),
        ("arm64/kubelet", vec![], &["is empty, and must be"]),
        (
            "arm64/kubelet",
            packed.clone(),
            &["archive `programs/arm64/kubelet` holds no file named `kubelet`"],
        ),
        (
            "etcd-v1-linux-arm64.tar.gz",
            packed[..packed.len() / 2].to_vec(),
            &[etcd, "cannot be read to its end"],
        ),
        ("etcd-v1-linux-arm64.tar.gz", b"\x1f\x8bnothing".to_vec(), &["cannot be read to its end"]),
        ("arm64/etcd", program("amd64"), &["`programs/arm64/etcd`", is, must]),
    ];
    for (name, bytes, says) in cases {
        // Sums are another case: what is wrong by itself is said as such.
        sh(&world, "rm -f programs/SHA256SUMS programs/arm64/*.sha256");
        put(&world, name, &bytes);
        for more in [&[][..], &["--dry-run"]] {
            let ran = world.push(&[&PUSH[..], more].concat(), &both()).exits(2);
            for text in says {
                assert!(ran.stderr.contains(text), "{name}: no {text:?} in\n{}", ran.stderr);
            }
            assert!(ran.stderr.contains("for pi"), "{}", ran.stderr);
            assert!(!world.at("out").exists() && ran.stdout.is_empty(), "{name}");
        }
        std::fs::remove_file(world.at("programs").join(name)).unwrap();
        fill(&world);
    }
    world.push(&[&PUSH[..], &["--dry-run"]].concat(), &both()).exits(0);

    // A sum beside it that is another, all that is missing, and one of the other architecture: in one go.
    std::fs::write(world.at("programs/arm64/kubelet.sha256"), "0".repeat(64)).unwrap();
    std::fs::remove_file(world.at("programs/runc.amd64")).unwrap();
    put(&world, "arm64/runc", &program("amd64"));
    put(&world, "etcdctl", b"never looked at: the archive comes first");
    let ran = world.push(&PUSH, &both()).exits(2);
    for text in [
        "and `kubelet.sha256` says 0000",
        "runc 1.2 for amd64 is not in `programs`",
        "for n1",
        "get https://github.com/r/runc.amd64 and put it at programs/amd64/runc.amd64",
        "`programs/arm64/runc` is a program for amd64, and must be a program for arm64",
    ] {
        assert!(ran.stderr.contains(text), "no {text:?} in\n{}", ran.stderr);
    }
    // What machines that are not chosen need is not asked for.
    put(&world, "arm64/runc", &program("arm64"));
    std::fs::remove_file(world.at("programs/arm64/kubelet.sha256")).unwrap();
    world.push(&[&PUSH[..], &["--limit", "pi"]].concat(), &both()).exits(0);
    let ran = world.push(&["--to", "dir:out", "--artifacts", "nowhere"], &both()).exits(2);
    ran.says("folder `nowhere` cannot be read").says("kmh-push fetch");
}

#[test]
fn two_files_of_a_name_in_an_archive_are_not_chosen_between() {
    let world = World::new();
    fill(&world);
    sh(&world, "rm programs/SHA256SUMS; mkdir pack/etcd-v1-linux-arm64/old");
    sh(
        &world,
        "cd pack; cp etcd-v1-linux-arm64/etcd etcd-v1-linux-arm64/old; tar -czf ../programs/etcd-v1-linux-arm64.tar.gz *arm64",
    );
    let ran = world.push(&PUSH, &both()).exits(2);
    ran.says("archive `programs/etcd-v1-linux-arm64.tar.gz` holds 2 files named `etcd`");
}

#[test]
fn a_manifest_is_installed_as_one() {
    let world = World::new();
    let url = "https://raw.example/manifests/crds.yaml";
    let mut cluster = node("cluster", &[text("/etc/kubernetes/cluster/00.yaml", "0644", "a: 1\n")]);
    cluster["kind"] = json!("cluster");
    cluster["artifacts"] = json!([artifact("/etc/kubernetes/cluster/10-crds.yaml", "amd64", url)]);
    put(&world, "crds.yaml", b"<!DOCTYPE html>\n");
    let ran = world.push(&PUSH, &bundle(&[cluster.clone()])).exits(2);
    ran.says("`programs/crds.yaml` is a web page, and must be a manifest");
    put(&world, "crds.yaml", b"kind: CustomResourceDefinition\n");
    world.push(&PUSH, &bundle(&[cluster])).exits(0);
    let at = world.at("out/cluster/etc/kubernetes/cluster/10-crds.yaml");
    assert_eq!((mode(&at), std::fs::read(&at).unwrap().len()), (0o644, 31));
}

#[test]
fn fetch_lists_what_the_folder_lacks() {
    let world = World::new();
    let all = world.push(&["fetch"], &both()).exits(0).stdout;
    assert_eq!(all.lines().count(), 6, "{all}");
    fill(&world);
    let (own, other) = architectures();
    std::fs::remove_file(world.at(&format!("programs/etcd-v1-linux-{own}.tar.gz"))).unwrap();
    let lacking = |more: &[&str]| {
        world.push(&[&["fetch", "--artifacts", "programs"][..], more].concat(), &both()).exits(0).stdout
    };
    assert_eq!(lacking(&[]), format!("https://github.com/e/etcd-v1-linux-{own}.tar.gz\n"));
    let machine = if other == "arm64" { "pi" } else { "n1" };
    assert_eq!(lacking(&["--limit", machine]), "");
    assert!(!Path::new(&world.at("out")).exists());
}
