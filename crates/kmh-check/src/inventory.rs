//! Checks of the inventory: `inventory.*`. What cannot work is refused before any check; here is what is odd.

use crate::documents::Inventory;
use crate::findings::Findings;

/// `inventory.warnings`: nothing in the inventory is doubtful.
pub(crate) fn warnings(inventory: &Inventory<'_>, out: &mut Findings<'_>) {
    out.look();
    for problem in inventory.warnings {
        let subject = if problem.path.is_empty() { "spec" } else { &problem.path };
        let cause = problem.cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default();
        let message = format!("{}{cause}", problem.message);
        out.warning(
            subject,
            message,
            problem.hint.as_deref().unwrap_or("change the inventory, or leave it if it is meant"),
        );
    }
}
