//! What was measured, kept as JSON from which the page is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Measures of one run, by name. CPU time is in seconds for each GiB of payload unless the name says otherwise.
pub(super) type Run = BTreeMap<String, f64>;

/// Every part that was measured, each with the machine it was measured on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Results {
    pub(super) parts: BTreeMap<String, Part>,
}

/// One part: all its rows are from the same sitting.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    /// What it was made with, by name: date, commit, machine, versions, sizes.
    pub(super) about: BTreeMap<String, String>,
    pub(super) rows: Vec<Row>,
}

/// One contender.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) runs: Vec<Run>,
    /// Why there are fewer runs than were asked for, if so.
    pub(super) lacks: Option<String>,
}

/// The middle of several runs and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Results {
    /// What `path` holds; nothing if there is no such file.
    pub(super) fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path)?;
        let value = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        Self::from_json(&value).with_context(|| format!("{} is not of this program", path.display()))
    }

    /// Writes all to `path`.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(&self.to_json())?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }

    /// A row of a part.
    pub(super) fn row(&self, part: &str, name: &str) -> Option<&Row> {
        self.parts.get(part)?.rows.iter().find(|row| row.name == name)
    }

    fn to_json(&self) -> Value {
        let parts = self.parts.iter().map(|(name, part)| (name.clone(), part.to_json()));
        Value::Object(parts.collect())
    }

    fn from_json(value: &Value) -> Option<Self> {
        let parts =
            value.as_object()?.iter().map(|(name, part)| Some((name.clone(), Part::from_json(part)?)));
        Some(Self { parts: parts.collect::<Option<_>>()? })
    }
}

impl Part {
    fn to_json(&self) -> Value {
        json!({"about": self.about, "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>()})
    }

    fn from_json(value: &Value) -> Option<Self> {
        let about = value["about"].as_object()?.iter();
        let about = about.map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())));
        let rows = value["rows"].as_array()?.iter().map(Row::from_json);
        Some(Self { about: about.collect::<Option<_>>()?, rows: rows.collect::<Option<_>>()? })
    }
}

impl Row {
    /// The spread of a measure; `None` when no run has it.
    pub(super) fn spread(&self, measure: &str) -> Option<Spread> {
        self.spread_of(|run| run.get(measure).copied())
    }

    /// The spread of what is made of the measures of each run.
    pub(super) fn spread_of(&self, made: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(made).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Spread { min: values[0], median, max: values[values.len() - 1] })
    }

    /// The median of a measure.
    pub(super) fn median(&self, measure: &str) -> Option<f64> {
        self.spread(measure).map(|spread| spread.median)
    }

    fn to_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(self.name));
        if let Some(lacks) = &self.lacks {
            row.insert("lacks".to_owned(), json!(lacks));
        }
        let rounded =
            |run: &Run| run.iter().map(|(name, value)| (name.clone(), rounded(*value))).collect::<Run>();
        row.insert("runs".to_owned(), json!(self.runs.iter().map(rounded).collect::<Vec<_>>()));
        Value::Object(row)
    }

    fn from_json(value: &Value) -> Option<Self> {
        let run = |run: &Value| -> Option<Run> {
            run.as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
        };
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            runs: value["runs"].as_array()?.iter().map(run).collect::<Option<_>>()?,
            lacks: value.get("lacks").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// To the fourth decimal: clocks tell no more, and the file stays readable.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Row {
        let runs = values.iter().map(|value| Run::from([("cpu".to_owned(), *value)])).collect();
        Row { name: "a".to_owned(), runs, lacks: None }
    }

    #[test]
    fn the_median_is_of_the_middle_runs() {
        assert_eq!(row(&[3.0, 1.0, 2.0]).spread("cpu"), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(row(&[4.0, 1.0]).median("cpu"), Some(2.5));
        assert_eq!(row(&[4.0]).spread("wall_s"), None);
    }

    #[test]
    fn results_are_read_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/results.json");
        assert_eq!(Results::load(&path).unwrap(), Results::default());
        let about = BTreeMap::from([("machine".to_owned(), "small".to_owned())]);
        let rows = vec![row(&[0.25]), Row { lacks: Some("missing".to_owned()), ..row(&[]) }];
        let results = Results { parts: BTreeMap::from([("verify".to_owned(), Part { about, rows })]) };
        results.save(&path).unwrap();
        assert_eq!(Results::load(&path).unwrap(), results);
        fs::write(&path, "[]").unwrap();
        assert!(Results::load(&path).is_err());
    }

    #[test]
    fn numbers_are_kept_to_four_decimals() {
        assert_eq!(row(&[1.0 / 3.0]).to_json()["runs"][0]["cpu"], json!(0.3333));
    }
}
