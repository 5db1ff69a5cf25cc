//! `kubeconfig`: a file that lets a person in, with everything in it.
//!
//! Kubernetes has no way to revoke a client certificate, so it is short: a week, where kubeadm, k0s and Talos give a year.
//! Its public half stays in the store (`users/NAME.SERIAL.crt`), so that `status` knows who may come in and for how long;
//! its key goes into the file and nowhere else.

pub mod file;
mod names;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::pki::Class;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::access::At;
use crate::cert::{Certificate, date, rfc3339};
use crate::issue::Authority;
use crate::look::{self, Ground};
use crate::observed::{Half, Observed};
use crate::outside;
use crate::secret::{Key, Secret};
use crate::store::{Change, Made, Public, Store, USERS};
use crate::table::{CommonName, row};
use crate::want::{Wanted, Wants};

/// Options of `kubeconfig`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Who it is for: what Kubernetes calls the user
    #[arg(long, value_name = "NAME", required_unless_present_any = ["admin", "break_glass"])]
    user: Option<String>,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Days that it lets the user in
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=365))]
    days: u16,
    /// An admin: in the group `kubeadm:cluster-admins`, which RBAC can take away again
    #[arg(long)]
    admin: bool,
    /// For an emergency: the store's own admin in `system:masters`, whom nothing can stop
    #[arg(long, conflicts_with_all = ["user", "groups", "days", "admin"])]
    break_glass: bool,
    /// Write it to FILE, readable by its owner only; `-` is stdout, and never a terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Replace FILE when it is there
    #[arg(long)]
    force: bool,
}

/// Examples of `kubeconfig`.
pub const EXAMPLES: &str = "\
EXAMPLES
  For a week:
    kmh-pki kubeconfig --user anna --group dev --to anna.conf --store pki -i cluster.yaml

  For an admin with a name, for today:
    kmh-pki kubeconfig --admin --user anna --days 1 --to admin.conf --store pki -i cluster.yaml

  For the safe; it ends with the certificate in the store:
    kmh-pki kubeconfig --break-glass --to break-glass.conf --store pki -i cluster.yaml

  Straight into a program that keeps secrets:
    kmh-pki kubeconfig --user anna --to - --store pki -i cluster.yaml |
      age -r age1q... > anna.conf.age

  Who was let in, and until when:
    kmh-pki status --store pki -i cluster.yaml -o json |
      jq -r '.certificates[] | select(.purpose == \"person\") | .component + \" \" + .not_after'
";

/// Who signs.
const CA: &str = "ca/cluster";
/// The file name that means standard output.
const STDOUT: &str = "-";

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    user: String,
    groups: Vec<String>,
    server: String,
    /// The file; none in a dry run.
    file: Option<String>,
    /// The name of its certificate in the store; none in a dry run, and where the store cannot be written.
    record: Option<String>,
    not_before: Option<String>,
    not_after: Option<String>,
    serial: Option<String>,
}

impl Args {
    /// What is printed: of a kubeconfig on stdout, that alone.
    pub fn forms(&self) -> &'static [Format] {
        if self.to.as_os_str() == STDOUT { &[Format::Text] } else { crate::TEXT_OR_JSON }
    }

    fn class(&self) -> Class {
        if self.break_glass { Class::BreakGlassAdmin } else { Class::Admin }
    }
}

/// The verb.
pub fn run(
    args: &Args,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
    at: &At,
) -> Result<Answer, Failure> {
    let (user, groups) = holder(args)?;
    let to_stdout = args.to.as_os_str() == STDOUT;
    refuse_target(args, context)?;
    let dry_run = context.common.dry_run;
    let ground = match look::ground(stream, context, at, !dry_run) {
        // To hand out what the store holds, nothing need be written: in an emergency it may be a read-only disk, with a
        // run on it that was cut off.
        Err(_) if args.break_glass => look::ground(stream, context, at, false)?,
        other => other?,
    };
    let server = server(&ground)?;
    if args.break_glass {
        context.warn(
            "this kubeconfig is of `system:masters`: it passes every authorization, RBAC cannot take anything from it, \
             and only a new CA ends it early; keep it in a safe, and use it when nothing else lets you in",
        );
    }
    context.refuse_if_strict()?;
    let bundle = bundle(&ground)?;
    let mut report = Report {
        user,
        groups,
        server,
        file: None,
        record: None,
        not_before: None,
        not_after: None,
        serial: None,
    };
    let pair = if args.break_glass {
        Some(stored(&ground)?)
    } else {
        let authority = authority(&ground, context.env.now)?;
        if dry_run { None } else { Some(issue(args, &ground, &authority, &report, context)?) }
    };
    let Some((certificate, key)) = pair.filter(|_| !dry_run) else {
        return Ok(Answer { text: say(&report, format)?, exit: Exit::Done });
    };
    report.record = record(args, &ground.store, &certificate, &key, context)?;
    report.not_before = Some(rfc3339(certificate.not_before));
    report.not_after = Some(rfc3339(certificate.not_after));
    report.serial = Some(certificate.serial.clone());
    let secret = file::write(&file::User {
        cluster: ground.model.name.as_str(),
        server: &report.server,
        authorities: &bundle,
        name: &report.user,
        certificate: &certificate,
        key: &Secret::pem_of(key.pair()),
    });
    if to_stdout {
        outside::send(context, secret.octets())?;
        return Ok(Answer { text: String::new(), exit: Exit::Done });
    }
    if args.force {
        kmh_cli::file::write(&args.to, secret.octets(), 0o600)?;
    } else {
        kmh_cli::file::create(&args.to, secret.octets(), 0o600)?;
    }
    report.file = Some(args.to.display().to_string());
    Ok(Answer { text: say(&report, format)?, exit: Exit::Done })
}

/// Who it is for: user and groups.
fn holder(args: &Args) -> Result<(String, Vec<String>), Failure> {
    let row = row(args.class());
    let own = match row.common_name {
        CommonName::Fixed(name) => name.to_owned(),
        _ => String::new(),
    };
    let of_row = || row.organizations.iter().map(ToString::to_string);
    if args.break_glass {
        return Ok((own, of_row().collect()));
    }
    let mut failures = Vec::new();
    failures.extend(args.user.as_deref().and_then(|user| names::refuse_user(user).err()));
    failures.extend(args.groups.iter().filter_map(|group| names::refuse_group(group).err()));
    Failure::all(failures).map_or(Ok(()), Err)?;
    let mut groups: Vec<String> = if args.admin { of_row().collect() } else { Vec::new() };
    for group in &args.groups {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    Ok((args.user.clone().unwrap_or(own), groups))
}

/// Refuses a target that cannot be written, before anything is issued.
fn refuse_target(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let to = &args.to;
    if !context.common.limit.is_empty() {
        return Err(Failure::wrong("a kubeconfig is for a person, and takes no `--limit`"));
    }
    if to.as_os_str() == STDOUT {
        if context.env.stdout_is_terminal {
            return Err(Failure::wrong("a key is not shown on a terminal")
                .hint("name a file with `--to`, or pipe it into the program that needs it"));
        }
        if context.common.write.is_some() {
            return Err(Failure::wrong("`--write` would make a readable file of a key")
                .hint("name the file with `--to`"));
        }
        return Ok(());
    }
    if let Some(there) = to.symlink_metadata().ok().filter(|_| !args.force) {
        let more = if there.is_file() { "; `--force` replaces this one" } else { "" };
        return Err(Failure::wrong(format!("`{}` is there already", to.display()))
            .hint(format!("name another file{more}")));
    }
    kmh_cli::file::probe(to)
}

/// Where people reach the API server.
fn server(ground: &Ground) -> Result<String, Failure> {
    let api =
        ground.model.api.as_ref().ok_or_else(|| Failure::wrong("the inventory has no `cluster.api`"))?;
    Ok(match api.host.ip() {
        // RFC 3986, 3.2.2.
        Some(std::net::IpAddr::V6(address)) => format!("https://[{address}]:{}", api.port),
        _ => format!("https://{}:{}", api.host, api.port),
    })
}

/// What the store holds of one name alone, and of its other generations: no other key is opened.
fn observe(ground: &Ground, name: &str) -> Result<Observed, Failure> {
    let wanted = ground.wants.certificates.get(name).cloned();
    let certificates = wanted.into_iter().map(|wanted| (name.to_owned(), wanted)).collect();
    ground.store.observe(&Wants { certificates, ..Wants::default() })
}

/// Every generation of the cluster's CA that is trusted.
fn bundle(ground: &Ground) -> Result<String, Failure> {
    observe(ground, CA)?.bundle(CA).map_err(|(name, why)| {
        Failure::world(format!("`{name}` is damaged")).because(why).hint("restore it from a backup")
    })
}

fn pair(ground: &Ground, name: &str) -> Result<(Certificate, bool), Failure> {
    let observed = observe(ground, name)?;
    let damaged = |what: String| Failure::world(what).hint("`kmh-pki verify` says more");
    let Some(pair) = observed.pairs.get(name) else {
        return Err(damaged(format!("the store has no `{name}`")));
    };
    match (&pair.certificate, &pair.key) {
        (Half::There(certificate), Half::There(key)) if certificate.public == *key => {
            Ok((certificate.clone(), true))
        }
        (Half::There(certificate), Half::Absent) => Ok((certificate.clone(), false)),
        (Half::There(_), Half::There(_)) => {
            Err(damaged(format!("the key of `{name}` does not belong to it")))
        }
        (Half::Damaged(why), _) | (_, Half::Damaged(why)) => {
            Err(damaged(format!("`{name}` is damaged")).because(why))
        }
        (Half::Absent, _) => Err(damaged(format!("`{name}` has no certificate"))),
    }
}

fn refuse_dates(name: &str, certificate: &Certificate, now: OffsetDateTime) -> Result<(), Failure> {
    if now >= certificate.not_after {
        return Err(Failure::world(format!("`{name}` expired on {}", date(certificate.not_after))));
    }
    if now < certificate.not_before {
        return Err(Failure::world(format!("`{name}` begins on {}", date(certificate.not_before)))
            .because(format!("the clock of this machine says {}", date(now))));
    }
    Ok(())
}

/// The cluster's CA, which signs.
fn authority(ground: &Ground, now: OffsetDateTime) -> Result<Authority, Failure> {
    let (certificate, has_key) = pair(ground, CA)?;
    refuse_dates(CA, &certificate, now)?;
    if !has_key {
        return Err(Failure::world(format!("the store does not hold the key of CA `{CA}`"))
            .hint("put it back for as long as this takes"));
    }
    Ok(Authority::new(ground.store.key(CA)?, certificate))
}

/// The break-glass admin of the store, who is there before the emergency.
fn stored(ground: &Ground) -> Result<(Certificate, Key), Failure> {
    const NAME: &str = "cluster/break-glass-admin";
    let (certificate, has_key) = pair(ground, NAME)?;
    if !has_key {
        return Err(Failure::world(format!("the store does not hold the key of `{NAME}`")));
    }
    Ok((certificate, ground.store.key(NAME)?))
}

fn issue(
    args: &Args,
    ground: &Ground,
    authority: &Authority,
    report: &Report,
    context: &mut Context<'_>,
) -> Result<(Certificate, Key), Failure> {
    let fail = |why| Failure::world("cannot make the certificate").because(why);
    // The admins' algorithm is that of people.
    let of_class = ground.wants.certificates.values().find(|one| one.class == Class::Admin);
    let Some(like) = of_class.or_else(|| ground.wants.certificates.get("cluster/break-glass-admin")) else {
        return Err(Failure::wrong("the inventory asks for no admin"));
    };
    let wanted = Wanted {
        name: USERS.to_owned(),
        machine: None,
        common_name: report.user.clone(),
        organizations: report.groups.clone(),
        lasts: Duration::days(args.days.into()),
        deploy: Vec::new(),
        ..Wanted::clone(like)
    };
    let key = Key::generate(wanted.algorithm).map_err(fail)?;
    let certificate = authority.issue(&wanted, key.pair(), context.env.now).map_err(fail)?;
    if certificate.not_after == authority.certificate().not_after {
        context.warn(&format!("it ends with its CA, on {}", date(certificate.not_after)));
    }
    Ok((certificate, key))
}

/// Puts the certificate into the store, before anybody has the key: what is handed out is known, or not handed out.
fn record(
    args: &Args,
    store: &Store,
    certificate: &Certificate,
    key: &Key,
    context: &mut Context<'_>,
) -> Result<Option<String>, Failure> {
    let name = format!("{USERS}/{}.{}", certificate.common_name, certificate.serial);
    if store.root().join(format!("{name}.crt")).exists() {
        return Ok(Some(name));
    }
    let made = Made { key: None, public: Public::pair(certificate.clone(), key.public()) };
    let write = || {
        store.tidy()?;
        store.commit(&Change::from(BTreeMap::from([(name.clone(), made)])))
    };
    match write() {
        Ok(()) => Ok(Some(name)),
        Err(failure) if args.break_glass => {
            context.warn(&format!(
                "the store cannot be written ({}), so it does not know that this was handed out",
                failure.summary()
            ));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn say(report: &Report, format: Format) -> Result<String, Failure> {
    if format == Format::Json {
        return crate::json(report);
    }
    let groups = match report.groups.as_slice() {
        [] => "no group".to_owned(),
        [one] => format!("group {one}"),
        many => format!("groups {}", many.join(", ")),
    };
    let who = format!("{} in {groups}, at {}", report.user, report.server);
    Ok(match (&report.file, &report.not_after) {
        (Some(file), Some(end)) => {
            let day = end.split('T').next().unwrap_or_default();
            let kept = match &report.record {
                Some(name) => format!("; the store keeps the certificate as {name}.crt"),
                None => String::new(),
            };
            format!("wrote {file}: {who}, until {day}{kept}\n")
        }
        _ => format!("would make a kubeconfig: {who}\n"),
    })
}
