//! Whether the store is still of the generation that the bundle was rendered from.

use std::collections::BTreeSet;

use kmh_cli::failure::Note;
use kmh_doc::bundle::Segment;
use kmh_store::store::Secrets;
use kmh_store::wanted::{Wanted, WantedFile, note};

/// Private keys whose certificate in the store is on none of the machines that get the key: the store has renewed
/// them since the bundle was rendered, and a key without its certificate stops the daemon that reads it.
pub(crate) fn of_another_generation(secrets: &Secrets, machines: &[Wanted], notes: &mut Vec<Note>) {
    for machine in machines {
        let texts: BTreeSet<&[u8]> = machine.files.iter().filter_map(only_text).collect();
        let references: BTreeSet<&str> = machine.files.iter().flat_map(WantedFile::references).collect();
        for reference in references {
            let Some(certificate) = secrets.certificate(reference) else { continue };
            if !texts.contains(certificate.trim_ascii()) {
                let message = format!(
                    "`{reference}` for `{}` is not the key of the certificate in the bundle",
                    machine.name
                );
                let mut note = note(
                    message,
                    "",
                    Some("run the whole pipe again: kmh-pki, kmh-bgpcfg, kmh-render, kmh-push"),
                );
                note.causes.push("the store has another certificate for it by now".to_owned());
                notes.push(note);
            }
        }
    }
}

/// The content of a file that is one piece of text, without the white space around it.
fn only_text(file: &WantedFile) -> Option<&[u8]> {
    match file.content.as_slice() {
        [Segment::Text { text }] => Some(text.as_bytes().trim_ascii()),
        _ => None,
    }
}
