//! The settings document of a pfSense: the same `frr.conf` inside, and its tunnels as the plan has them.

use base64::Engine as _;
use kmh_doc::bundle::MachineKind;
use kmh_doc::network::{NetworkSpec, Tunnel};
use serde_json::Value;

use crate::bundle::RENDER;
use crate::bundle::files::place;
use crate::bundle::view::{Bundle, View, ending};
use crate::findings::Findings;

/// `network.pfsense`: what pfSense is told is what the bundle and the plan say.
pub(crate) fn settings(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.machines.iter().filter(|m| m.machine.kind == MachineKind::Pfsense) {
        if !out.look_at(view.name()) {
            continue;
        }
        let found = view.files.iter().filter(|(path, _)| ending(path) == "json").find_map(|(path, text)| {
            let settings: Value = serde_json::from_str(&text.text).ok()?;
            settings["installedpackages"].is_object().then_some((*path, settings))
        });
        let Some((path, settings)) = found else {
            out.critical(view.name(), "it has no settings document that could be read", RENDER);
            continue;
        };
        raw(view, &place(view.name(), path), &settings, out);
        for tunnel in &network.tunnels {
            for (own, other) in [(0, 1), (1, 0)] {
                if tunnel.ends[own].router == view.name() {
                    phases(tunnel, own, other, &settings, out);
                }
            }
        }
    }
}

/// When the raw configuration is set, pfSense looks at nothing else of its FRR package.
fn raw(view: &View<'_>, subject: &str, settings: &Value, out: &mut Findings<'_>) {
    let raw = settings["installedpackages"]["frrglobalraw"]["config"][0]["frr"].as_str().unwrap_or_default();
    let inside = base64::engine::general_purpose::STANDARD.decode(raw).unwrap_or_default();
    let beside =
        view.files.iter().find(|(path, _)| path.ends_with("/frr.conf")).map(|(_, text)| text.text.as_bytes());
    if beside != Some(inside.as_slice()) {
        out.critical(subject, "the raw configuration in it is not the frr.conf of the bundle", RENDER);
    }
}

fn phases(tunnel: &Tunnel, own: usize, other: usize, settings: &Value, out: &mut Findings<'_>) {
    let (own, other) = (&tunnel.ends[own], &tunnel.ends[other]);
    let subject = format!("{} on {}", tunnel.name, own.router);
    let list = |phase: &str| settings["ipsec"][phase].as_array().cloned().unwrap_or_default();
    let first = list("phase1")
        .into_iter()
        .find(|p| p["myid_data"] == own.identity.as_str() && p["peerid_data"] == other.identity.as_str());
    let Some(first) = first else {
        out.critical(&subject, "no phase 1 of pfSense's settings has its two identities", RENDER);
        return;
    };
    if first["iketype"] != "ikev2" {
        // Without the field pfSense takes IKEv1.
        out.critical(&subject, "its phase 1 is not IKEv2", RENDER);
    }
    let seconds: Vec<Value> = list("phase2").into_iter().filter(|p| p["ikeid"] == first["ikeid"]).collect();
    if seconds.is_empty() {
        out.critical(&subject, "its phase 1 has no phase 2, so nothing passes", RENDER);
    }
    let number =
        |value: &Value| value.as_u64().map(|n| n.to_string()).or_else(|| value.as_str().map(str::to_owned));
    for second in &seconds {
        let is = number(&second["reqid"]).unwrap_or_else(|| "none".to_owned());
        if is != tunnel.index.to_string() {
            out.critical(&subject, format!("its `reqid` is {is}, it must be {}", tunnel.index), RENDER);
        }
        if second["mode"] != "vti" {
            out.critical(&subject, "its phase 2 is not routed (`mode` is not `vti`)", RENDER);
        }
    }
    for (side, end) in [("localid", own), ("remoteid", other)] {
        for address in &end.addresses {
            if !seconds.iter().any(|p| p[side]["address"] == address.to_string()) {
                out.critical(&subject, format!("no phase 2 has `{side}` {address}"), RENDER);
            }
        }
    }
}
