//! The style sheet, by day and by night, and the legend's words. Colours are of a palette that people with any kind of
//! colour blindness can tell apart (Okabe and Ito 2008), and mean nothing that dashes, crosses or arrows do not say, too.

use std::fmt::Write as _;

/// By day; what does not depend on it first. Plain rules: not every program that shows SVG knows custom properties.
const RULES: &str = "\
.kmh text{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif}
.kmh .heading{font-size:20px;font-weight:600}
.kmh .lead{font-size:13px}
.kmh .site{font-size:15px;font-weight:600}
.kmh .sub{font-size:11.5px}
.kmh .name{font-size:12px;font-weight:600}
.kmh .small{font-size:11px}
.kmh .middle{text-anchor:middle}
.kmh path{fill:none}
.kmh .t{stroke-width:2}
.kmh .many .t{stroke-width:1;stroke-opacity:.25}
.kmh .standby{stroke-width:1.4;stroke-dasharray:7 4}
.kmh .dense .standby{stroke-width:1.2;stroke-opacity:.45}
.kmh .many .standby{stroke-dasharray:4 4}
.kmh .n{stroke-width:1;stroke-linejoin:round}
.kmh .sibling{stroke-width:2;stroke-dasharray:1.5 3.5}
.kmh .band{stroke-width:8;stroke-linecap:round;stroke-linejoin:round;stroke-opacity:.75}
.kmh .cross{stroke-width:2.4}
.kmh .t.dead,.kmh .n.dead,.kmh .sibling.dead{stroke-width:1.4;stroke-opacity:1;stroke-dasharray:3 3}
.kmh .t.way,.kmh .many .t.way,.kmh .dense .t.way{stroke-width:2.2;stroke-opacity:1}
.kmh .t:hover,.kmh .many .t:hover,.kmh .n:hover,.kmh .sibling:hover{stroke-width:4;stroke-opacity:1}
.kmh rect.dead{stroke-dasharray:4 3;stroke-width:1.6}
.kmh rect.way{stroke-width:3}
";

/// Selectors and what they are by day and by night.
const COLOURS: [(&str, &str, &str); 16] = [
    (".page", "fill:#fff", "fill:#0d1117"),
    (".heading,.kmh .site,.kmh .name", "fill:#1f2328", "fill:#f0f3f6"),
    (".lead", "fill:#424a53", "fill:#c4ccd4"),
    (".sub,.kmh .small", "fill:#424a53", "fill:#c4ccd4"),
    (".card", "fill:#f3f5f8;stroke:#aeb6bf", "fill:#171d26;stroke:#4b545f"),
    (".plate", "fill:#fff;stroke:#0072b2", "fill:#0d1117;stroke:#56b4e9"),
    (".square", "fill:#0072b2;stroke:#fff", "fill:#56b4e9;stroke:#0d1117"),
    (".pill", "fill:#fff;stroke:#8c959f", "fill:#0d1117;stroke:#768390"),
    (".t,.kmh .sibling", "stroke:#0072b2", "stroke:#56b4e9"),
    (".n", "stroke:#8c959f", "stroke:#768390"),
    (".band", "stroke:#f0c541", "stroke:#8f6d00"),
    (".arrow", "fill:#1f2328;stroke:none", "fill:#fff;stroke:none"),
    (".tag", "fill:#fff", "fill:#0d1117"),
    ("path.dead,.kmh rect.dead,.kmh .cross", "stroke:#c2410c", "stroke:#ff8a50"),
    ("rect.square.dead", "fill:#fff", "fill:#0d1117"),
    ("text.dead", "fill:#a83200", "fill:#ff9d6b"),
];

/// The whole sheet. A page in the other colours than the reader's would be hard to read, hence the background.
pub(super) fn sheet() -> String {
    let mut day = String::new();
    let mut night = String::new();
    for (selector, by_day, by_night) in COLOURS {
        let _ = writeln!(day, ".kmh {selector}{{{by_day}}}");
        let _ = writeln!(night, ".kmh {selector}{{{by_night}}}");
    }
    day.push_str(".kmh rect.way{stroke:#b58900}\n");
    night.push_str(".kmh rect.way{stroke:#e0b020}\n");
    format!("{RULES}{day}@media (prefers-color-scheme:dark){{\n{night}}}\n")
}
