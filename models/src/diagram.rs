//! A path as a sequence diagram, for the explorer: time runs down, each node has a line, and each
//! message an arrow from where it was sent to where it arrived. What never arrived is not drawn.

use std::fmt::Write;

/// A step of a path.
pub struct Event {
    /// On which line it happens, counted from zero.
    pub line: usize,
    /// Where a message came from, if it is one that arrives: the line, and before which step it was
    /// sent.
    pub from: Option<(usize, usize)>,
    pub words: String,
}

const COLUMN: usize = 110;
const ROW: usize = 30;
const MARGIN: usize = 30;
/// Of a letter, at most.
const LETTER: usize = 8;

/// The drawing, as SVG in the classes of the explorer's page.
pub fn draw(lines: &[String], events: &[Event]) -> String {
    let x = |line: usize| MARGIN + line * COLUMN;
    let y = |step: usize| MARGIN + step * ROW;
    let longest = events.iter().map(|event| event.words.chars().count()).max().unwrap_or(0);
    let wide = x(lines.len()) + longest * LETTER;
    let high = y(events.len() + 1);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{wide}' height='{high}'>\
         <defs><marker id='arrow' class='svg-event-shape' markerUnits='userSpaceOnUse' \
         markerWidth='12' markerHeight='10' refX='12' refY='5' orient='auto'><polygon points='0 0, 12 5, 0 10' /></marker></defs>"
    );
    let text = "a string takes all that is written";
    for (line, name) in lines.iter().enumerate() {
        let (x, top) = (x(line), MARGIN / 2);
        write!(
            svg,
            "<line x1='{x}' y1='{MARGIN}' x2='{x}' y2='{high}' class='svg-actor-timeline' />"
        )
        .expect(text);
        write!(svg, "<text x='{x}' y='{top}' class='svg-actor-label'>{}</text>", escaped(name))
            .expect(text);
    }
    for (event, step) in events.iter().zip(1..) {
        let (x2, y2) = (x(event.line), y(step));
        match event.from {
            Some((line, sent)) => write!(
                svg,
                "<line x1='{}' y1='{}' x2='{x2}' y2='{y2}' marker-end='url(#arrow)' \
                 class='svg-event-line' />",
                x(line),
                y(sent)
            ),
            None => write!(svg, "<circle cx='{x2}' cy='{y2}' r='6' class='svg-event-shape' />"),
        }
        .expect(text);
        let (x, words) = (x2 + 16, escaped(&event.words));
        write!(svg, "<text x='{x}' y='{}' class='svg-event-label'>{words}</text>", y2 + 4)
            .expect(text);
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_arrow_from_where_it_was_sent() {
        let lines = ["n1".to_owned(), "n2".to_owned()];
        let elected = Event { line: 0, from: None, words: "n1 is elected".to_owned() };
        let prepare = Event { line: 1, from: Some((0, 1)), words: "prepare <1>".to_owned() };
        let svg = draw(&lines, &[elected, prepare]);
        assert!(svg.contains("<circle cx='30' cy='60'"), "{svg}");
        assert!(svg.contains("<line x1='30' y1='60' x2='140' y2='90' marker-end"), "{svg}");
        assert!(svg.contains(">prepare &lt;1&gt;</text>"), "{svg}");
    }
}
