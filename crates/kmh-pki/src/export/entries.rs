//! Which file of an export holds what: the table of a layout applied to a cluster.

use std::collections::{BTreeMap, BTreeSet};

use kmh_cli::Failure;
use kmh_doc::inventory::Role;
use kmh_doc::pki::{Class, Deploy, Generation, Rotating};
use kmh_model::Model;
use zeroize::Zeroizing;

use super::Entry;
use crate::cert::Certificate;
use crate::kubeconfig::file as kubeconfig;
use crate::layout::{Layout, Spot};
use crate::observed::{Half, Observed};
use crate::secret::Secret;
use crate::store::Store;
use crate::table::{Life, row};
use crate::want::{self, Wanted, Wants};

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// What is exported.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) model: &'a Model,
    pub(super) wants: &'a Wants,
    pub(super) observed: &'a Observed,
    pub(super) store: &'a Store,
}

/// All files, by machine.
pub(super) fn of(
    ground: &Ground<'_>,
    layout: Layout,
    chosen: &dyn Fn(&str) -> bool,
    with_ca_keys: bool,
) -> Result<Vec<Entry>, Failure> {
    let ca = want::name(row(Class::ClusterCa), None);
    let authorities = ground.observed.bundle(&ca).map_err(|(name, why)| {
        Failure::world(format!("`{name}` is damaged")).because(why).hint("restore it from a backup")
    })?;
    let mut maker = Maker { ground: *ground, layout, authorities, entries: BTreeMap::new() };
    let leaders: Vec<&str> =
        ground.model.nodes_with(Role::ControlPlane).map(|node| node.name.as_str()).collect();
    for wanted in ground.wants.certificates.values() {
        let Some(certificate) = maker.certificate(&wanted.name) else { continue };
        // The break-glass admin is deployed nowhere; kubeadm has it on the first machine of the control plane.
        let machines: BTreeSet<&str> = match wanted.class {
            Class::BreakGlassAdmin if with_ca_keys => leaders.first().copied().into_iter().collect(),
            Class::BreakGlassAdmin => continue,
            _ => wanted.deploy.iter().map(|place| place.machine.as_str()).collect(),
        };
        for machine in machines.into_iter().filter(|machine| chosen(machine)) {
            let signs = wanted.class == Class::IpsecCa || leaders.contains(&machine);
            // A key that stays on its machine is not here to be exported.
            let here = ground.observed.pairs.get(&wanted.name).is_some_and(|pair| pair.key != Half::Absent);
            let with_key = if wanted.life == Life::Authority { with_ca_keys && signs } else { here };
            maker.put(wanted, certificate, machine, with_key)?;
        }
    }
    for machine in leaders.into_iter().filter(|machine| chosen(machine)) {
        maker.put_keys(machine)?;
    }
    Ok(maker.entries.into_values().collect())
}

struct Maker<'a> {
    ground: Ground<'a>,
    layout: Layout,
    /// The file of the cluster's CA, as kubeconfigs hold it.
    authorities: String,
    entries: BTreeMap<String, Entry>,
}

impl<'a> Maker<'a> {
    fn certificate(&self, name: &str) -> Option<&'a Certificate> {
        self.ground.observed.pairs.get(name)?.certificate.there()
    }

    fn add(&mut self, machine: &str, path: &str, mode: u32, content: Secret, time: u64) {
        let path = format!("{machine}/{}", path.trim_start_matches('/').replace("{}", machine));
        match self.entries.get_mut(&path) {
            None => {
                self.entries.insert(path.clone(), Entry { path, mode, content, time });
            }
            // Several generations of a CA are trusted as one file, the current one first; its key alone is there.
            Some(one) if mode == PUBLIC => {
                one.content = Secret::new([one.content.octets(), content.octets()].concat());
            }
            Some(_) => {}
        }
    }

    /// A certificate, and its key, in their places on a machine.
    fn put(
        &mut self,
        wanted: &Wanted,
        certificate: &Certificate,
        machine: &str,
        with_key: bool,
    ) -> Result<(), Failure> {
        let time = start(certificate);
        let public = || Secret::new(certificate.pem.clone().into_bytes());
        let key = |store: &Store| Ok(Secret::pem_of(store.key(&wanted.name)?.pair()));
        let spot = match self.layout.row(wanted.class).spot {
            Spot::Config(_) | Spot::One(_) if !with_key => Spot::Deployed,
            spot => spot,
        };
        match spot {
            Spot::Pair(path) => {
                self.add(machine, &format!("{path}.crt"), PUBLIC, public(), time);
                if with_key {
                    let key = key(self.ground.store)?;
                    self.add(machine, &format!("{path}.key"), PRIVATE, key, time);
                }
            }
            Spot::Config(path) | Spot::One(path) => {
                let key = key(self.ground.store)?;
                let content = self.config(wanted, certificate, machine, &key);
                self.add(machine, path, PRIVATE, content, time);
            }
            Spot::Deployed => {
                let places: Vec<&Deploy> =
                    wanted.deploy.iter().filter(|place| place.machine == machine).collect();
                for place in places {
                    let Some(path) = &place.certificate else { continue };
                    self.add(machine, path, PUBLIC, public(), time);
                    if with_key {
                        // The key of a CA is deployed nowhere: it lies beside its certificate.
                        let beside = || path.trim_end_matches(".crt").to_owned() + ".key";
                        let path = place.key.clone().unwrap_or_else(beside);
                        let key = key(self.ground.store)?;
                        self.add(machine, &path, PRIVATE, key, time);
                    }
                }
            }
        }
        Ok(())
    }

    /// A kubeconfig as kubeadm makes it: controllers ask the API server beside them, all else asks for it by its name.
    fn config(&self, wanted: &Wanted, certificate: &Certificate, machine: &str, key: &Secret) -> Secret {
        let model = self.ground.model;
        let own = model.nodes.values().find(|node| node.name.as_str() == machine);
        let port = model.api.as_ref().map_or(6443, |api| api.port);
        let host = match wanted.class {
            Class::ControllerManager | Class::Scheduler => {
                own.and_then(|node| node.addresses.first()).map(ToString::to_string)
            }
            _ => model.api.as_ref().map(|api| api.host.to_string()),
        };
        let host = host.unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        kubeconfig::write(&kubeconfig::User {
            cluster: model.name.as_str(),
            server: &format!("https://{host}:{port}"),
            authorities: &self.authorities,
            name: &wanted.common_name,
            certificate,
            key,
        })
    }

    /// The keys without certificate of a machine of the control plane.
    fn put_keys(&mut self, machine: &str) -> Result<(), Failure> {
        let keys = &self.ground.observed.keys;
        let store = self.ground.store;
        let there = |one: Rotating, generation: Generation| {
            let name = one.subject() + generation.ending();
            keys.get(&name).and_then(|half| half.there()).map(|bare| (name, bare))
        };
        if let Some((name, _)) = there(Rotating::ServiceAccount, Generation::Current)
            && let Some(path) = self.layout.service_account().first()
        {
            self.add(machine, path, PRIVATE, Secret::pem_of(store.key(&name)?.pair()), 0);
            // Whoever verifies tokens takes those of every generation.
            for generation in [Generation::Old, Generation::Current, Generation::Next] {
                let Some((_, bare)) = there(Rotating::ServiceAccount, generation) else { continue };
                let public = Secret::new(bare.public.clone().unwrap_or_default().into_bytes());
                self.add(machine, &path.replace(".key", ".pub"), PUBLIC, public, 0);
            }
        }
        // The first key of the list writes, all of them read.
        let generations = [Generation::Current, Generation::Next, Generation::Old];
        let found = generations.into_iter().filter_map(|one| there(Rotating::Encryption, one));
        let found = found.map(|(name, _)| store.secret_of(&name)).collect::<Result<Vec<_>, _>>()?;
        if !found.is_empty() {
            self.add(machine, self.layout.encryption(), PRIVATE, encryption(&found), 0);
        }
        Ok(())
    }
}

/// The start of a certificate, in seconds since 1970.
pub(super) fn start(certificate: &Certificate) -> u64 {
    u64::try_from(certificate.not_before.unix_timestamp()).unwrap_or(0)
}

/// The API server's encryption configuration, as kmh renders it.
fn encryption(keys: &[Secret]) -> Secret {
    const HEAD: &str = "\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox:
          keys:
";
    const NAME: &str = "            - {name: ";
    const SECRET: &str = ", secret: ";
    const END: &str = "}\n";
    const TAIL: &str = "      - identity: {}\n";
    let keys: Vec<_> = keys.iter().map(|key| (key.id(), kubeconfig::base64(key.octets()))).collect();
    let mut parts = vec![HEAD.as_bytes()];
    for (name, encoded) in &keys {
        parts.extend([NAME.as_bytes(), name.as_bytes(), SECRET.as_bytes(), encoded, END.as_bytes()]);
    }
    parts.push(TAIL.as_bytes());
    // The exact size at once: a growing vector would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        out.extend_from_slice(part);
    }
    Secret::new(out)
}
