//! What is wrong with a command line: all of it at once. The parser stops at the first mistake; so each one is taken
//! out, and the rest is read again.

use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error, Parser};

/// More than this are not looked for: the first ones cause the others.
const MOST: usize = 20;

/// Parses a command line, or says everything that is wrong with it. Help and version are such an error, alone.
pub(crate) fn parse<P: Parser>(args: &[OsString]) -> Result<P, Vec<Error>> {
    let mut left = args.to_vec();
    let mut errors = Vec::new();
    // Options that were taken out, which must not be missed then.
    let mut out = Vec::new();
    // What follows an unknown option is its value, probably.
    let mut value = None;
    loop {
        let mut error = match once::<P>(&left) {
            Ok(parsed) if errors.is_empty() => return Ok(parsed),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        hint_at_input(&mut error);
        let asks = !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if asks && !errors.is_empty() || !still_missing(&mut error, &out) {
            return Err(errors);
        }
        if value.take().is_some_and(|value| odd(&error).is_some_and(|odd| *odd == value)) {
            // Read as a verb or as something that nobody takes.
            let Some(at) = left.iter().position(|arg| odd(&error).is_some_and(|odd| arg == odd.as_str()))
            else {
                return Err(errors);
            };
            left.remove(at);
            continue;
        }
        let without = without(&left, &error, &P::command());
        errors.push(error);
        let Some((fewer, at, option)) = without.filter(|_| errors.len() < MOST) else { return Err(errors) };
        value = fewer.get(at).filter(|arg| !is_option(arg)).map(|arg| arg.to_string_lossy().into_owned());
        out.push(option);
        left = fewer;
    }
}

fn once<P: Parser>(args: &[OsString]) -> Result<P, Error> {
    let mut command = P::command();
    let matches = command.try_get_matches_from_mut(args)?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// As they are printed, each line that begins one with the tool's name; the usage once, at the end.
pub(crate) fn render(tool: &str, mut errors: Vec<Error>, text: impl Fn(&StyledStr) -> String) -> String {
    let number = errors.len();
    let usage = errors.iter_mut().filter_map(|error| error.remove(ContextKind::Usage)).last();
    if let (Some(last), Some(usage)) = (errors.last_mut(), usage) {
        last.insert(ContextKind::Usage, usage);
    }
    let mut rendered = String::new();
    for (index, error) in errors.iter().enumerate() {
        if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            rendered.extend([tool, ": "]);
        }
        let styled = text(&error.render());
        let help = if index + 1 == number { None } else { styled.find("\n\nFor more information") };
        match help.and_then(|at| styled.get(..at)) {
            Some(shown) => rendered.extend([shown, "\n\n"]),
            None => rendered.push_str(&styled),
        }
    }
    if number > 1 {
        rendered.extend([tool, &format!(": {number} errors\n")]);
    }
    rendered
}

/// The messages alone, on one line.
pub(crate) fn summary(errors: &[Error]) -> String {
    let lines = errors.iter().map(|error| {
        let text = error.render().to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Takes out of what is missing what was there, and was no good; whether anything is wrong then.
fn still_missing(error: &mut Error, out: &[String]) -> bool {
    if error.kind() != ErrorKind::MissingRequiredArgument || out.is_empty() {
        return true;
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return true };
    let was_there = |text: &String| {
        let option = text.split(' ').next().unwrap_or_default();
        out.iter().any(|one| one == option)
    };
    let left: Vec<String> = missing.iter().filter(|one| !was_there(one)).cloned().collect();
    let any = !left.is_empty();
    error.insert(ContextKind::InvalidArg, ContextValue::Strings(left));
    any
}

/// The arguments without that mistake, where something was taken out, and which option it was; none where the rest would
/// be read as something else.
fn without(args: &[OsString], error: &Error, command: &Command) -> Option<(Vec<OsString>, usize, String)> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg)?;
    let option = argument.split([' ', '=']).next().unwrap_or_default();
    let find = |is: &dyn Fn(&str) -> bool| {
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let args = args.get(..end)?.iter().enumerate().skip(1);
        args.map(|(at, arg)| (at, arg.to_string_lossy())).find(|(_, arg)| is(arg)).map(|(at, _)| at)
    };
    let joined = |arg: &str, option: &str| arg.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
    let (at, number) = match (error.kind(), text(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, _) => (find(&|arg| arg == argument || joined(arg, argument))?, 1),
        (ErrorKind::InvalidValue, Some("")) => {
            let short = short(command, option);
            let is = |arg: &str| arg == option || Some(arg) == short.as_deref();
            // It was the last that was read, and `--option=` has an empty one.
            (find(&|arg| joined(arg, option) && arg.ends_with('=')).or_else(|| find(&is))?, 1)
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(value)) => {
            let alone = find(&|arg| arg == value).and_then(|at| {
                let named = args.get(at.checked_sub(1)?).is_some_and(is_option) && option.starts_with('-');
                Some(if named { (at - 1, 2) } else { (at, 1) })
            });
            alone.or_else(|| Some((find(&|arg| arg.starts_with('-') && arg.ends_with(value))?, 1)))?
        }
        _ => return None,
    };
    let mut fewer = args.to_vec();
    fewer.drain(at..at + number);
    // What stood before its value has no other.
    let after = if error.kind() == ErrorKind::UnknownArgument
        && is_option(args.get(at)?)
        && !argument.contains('=')
    {
        at
    } else {
        fewer.len()
    };
    Some((fewer, after, option.to_owned()))
}

fn is_option(arg: impl AsRef<OsStr>) -> bool {
    arg.as_ref().as_encoded_bytes().starts_with(b"-")
}

/// The short form of an option, of the command or of one of its verbs.
fn short(command: &Command, option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let mut all = std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments);
    let found = all.find(|arg| arg.get_long() == Some(long))?;
    found.get_short().map(|letter| format!("-{letter}"))
}

/// What the parser could make nothing of: an argument, or what it took for a verb.
fn odd(error: &Error) -> Option<&String> {
    match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidSubcommand)) {
        (Some(ContextValue::String(odd)), _) | (_, Some(ContextValue::String(odd))) => Some(odd),
        _ => None,
    }
}

/// Whoever names a file without `-i` meant an input.
fn hint_at_input(error: &mut Error) {
    let Some(odd) = odd(error).cloned() else { return };
    if !odd.starts_with('-') && odd.contains(['.', '/']) {
        let tip = StyledStr::from(format!("documents come from stdin, or from files named with `-i {odd}`"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}
