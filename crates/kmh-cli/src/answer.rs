//! The frame of every answer: a verb that passes nothing on and prints its own result only.

use crate::args::{Common, Format};
use crate::context::Context;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::filter::format;
use crate::stream::Stream;
use crate::text::printable;
use crate::{file, output, schema};

/// What an answer says.
pub struct Answer {
    /// In the form that was asked for.
    pub text: String,
    /// `Done`, or `No`.
    pub exit: Exit,
}

/// Runs an answer from the parsed command line to the exit code. `forms` are those that it has; of text and JSON a
/// terminal gets the first, all else the second, as long as the answer has both.
pub fn answer(
    env: &mut Env,
    tool: &'static str,
    common: &Common,
    forms: &[Format],
    run: impl FnOnce(&Stream, &mut Context<'_>, Format) -> Result<Answer, Failure>,
) -> Exit {
    let run = |context: &mut Context<'_>, wanted: Format| {
        let stream = Stream::read(context.env, common, context.tool, None)?;
        context.warn_notes(&stream.warnings);
        run(&stream, context, wanted)
    };
    answer_alone(env, tool, common, forms, run)
}

/// The same for a verb that needs no document: nothing is read.
pub fn answer_alone(
    env: &mut Env,
    tool: &'static str,
    common: &Common,
    forms: &[Format],
    run: impl FnOnce(&mut Context<'_>, Format) -> Result<Answer, Failure>,
) -> Exit {
    if let Some(kind) = &common.schema {
        return schema::answer(env, tool, kind);
    }
    let mut context = Context::new(env, common, tool);
    match attempt(&mut context, forms, run) {
        Ok(exit) => exit,
        Err(failure) => {
            context.fail(&failure);
            failure.exit
        }
    }
}

fn attempt(
    context: &mut Context<'_>,
    forms: &[Format],
    run: impl FnOnce(&mut Context<'_>, Format) -> Result<Answer, Failure>,
) -> Result<Exit, Failure> {
    let common = context.common;
    let wanted = match common.output {
        Some(wanted) => wanted,
        None => Some(format(context.env, common)).filter(|one| forms.contains(one)).unwrap_or(first(forms)),
    };
    if !forms.contains(&wanted) {
        let names: Vec<&str> = forms.iter().map(|form| form.name()).collect();
        return Err(Failure::wrong(format!("this verb does not print `{}`", wanted.name()))
            .hint(format!("it prints {}", names.join(", "))));
    }
    context.check_selectors()?;
    if let Some(path) = &common.write {
        file::named(path)?;
    }
    let answer = run(context, wanted)?;
    context.quiet_progress();
    let mut exit = answer.exit;
    if let Err(failure) = context.refuse_if_strict() {
        context.fail(&failure);
        exit = exit.max(failure.exit);
    }
    let mut text = if wanted == Format::Text { printable(&answer.text) } else { answer.text };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match &common.write {
        None => Ok(output::whole(context.env, context.tool, &[text.as_bytes()], exit)),
        Some(_) if exit != Exit::Done => Ok(exit),
        Some(path) => file::write_named(path, text.as_bytes()).map(|_| exit),
    }
}

fn first(forms: &[Format]) -> Format {
    forms.first().copied().unwrap_or(Format::Text)
}
