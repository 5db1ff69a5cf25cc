//! Names of people and groups: those that a certificate, a file name and Kubernetes all take, and that are nobody else's.

use kmh_cli::Failure;

use crate::table::{CommonName, TABLE};

/// Characters that a common name and an organization have at most (RFC 5280, appendix A.1).
const LONGEST: usize = 64;
/// Kubernetes' own users and groups (`k8s.io/apiserver/pkg/authentication/user`).
const RESERVED: &str = "system:";

/// Refuses a name that no user may have.
pub(super) fn refuse_user(name: &str) -> Result<(), Failure> {
    well_formed("user", name, "")?;
    let taken = TABLE.iter().any(|row| matches!(row.common_name, CommonName::Fixed(own) if own == name));
    if taken {
        // What is bound to a component's name would be the person's, too.
        return Err(Failure::wrong(format!("user `{name}` is a component of the cluster"))
            .hint("name the person; `--admin` alone makes a nameless admin"));
    }
    Ok(())
}

/// Refuses a name that no group may have.
pub(super) fn refuse_group(name: &str) -> Result<(), Failure> {
    well_formed("group", name, "/")?;
    if TABLE.iter().any(|row| row.organizations.contains(&name)) {
        return Err(Failure::wrong(format!("group `{name}` is that of admins"))
            .hint("`--admin` puts the user into it"));
    }
    Ok(())
}

fn well_formed(what: &str, name: &str, more: &str) -> Result<(), Failure> {
    if name.to_ascii_lowercase().starts_with(RESERVED) {
        let hint = if name == "system:masters" {
            "`--break-glass` makes a kubeconfig of it, and says what that means; `--admin` makes one that RBAC can stop"
        } else {
            "name the person or the group, and bind it to a role: `kubectl create clusterrolebinding`"
        };
        let why = format!("names that begin with `{RESERVED}` are Kubernetes' own");
        return Err(Failure::wrong(format!("{what} `{name}` is reserved")).because(why).hint(hint));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_@+:".contains(c) || more.contains(c);
    let whole = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits);
    if !whole || name.len() > LONGEST {
        return Err(Failure::wrong(format!("{what} `{}` cannot be written", name.escape_debug()))
            .hint(format!("at most {LONGEST} letters, digits and `.-_@+:{more}`, a letter or digit first")));
    }
    Ok(())
}
