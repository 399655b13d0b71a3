// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the domain counts, and which build counts it, in the form of Prometheus.

use cms_core::Cms;
use cms_core::counts::{Measured, Reading};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Asks a `Cms` whenever somebody looks.
#[derive(Debug)]
pub(crate) struct Core(pub(crate) Cms);

impl Collector for Core {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for measured in self.0.measured() {
            let Some((_, first)) = measured.series.first() else { continue };
            let metric = encoder.encode_descriptor(measured.name, measured.help, None, kind(first))?;
            write(metric, &measured)?;
        }
        let mut build = encoder.encode_descriptor("build", "The build that runs", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn kind(reading: &Reading) -> MetricType {
    match reading {
        Reading::Counter(_) => MetricType::Counter,
        Reading::Gauge(_) => MetricType::Gauge,
        Reading::Histogram { .. } => MetricType::Histogram,
    }
}

fn write(mut metric: MetricEncoder<'_>, measured: &Measured) -> Result<(), std::fmt::Error> {
    for (value, reading) in &measured.series {
        match measured.label {
            Some(label) => {
                let labels = [(label, *value)];
                put(metric.encode_family(&labels)?, reading)?;
            }
            None => put_plain(&mut metric, reading)?,
        }
    }
    Ok(())
}

fn put(mut metric: MetricEncoder<'_>, reading: &Reading) -> Result<(), std::fmt::Error> {
    put_plain(&mut metric, reading)
}

fn put_plain(metric: &mut MetricEncoder<'_>, reading: &Reading) -> Result<(), std::fmt::Error> {
    match reading {
        Reading::Counter(count) => metric.encode_counter::<NoLabelSet, _, u64>(count, None),
        Reading::Gauge(level) => metric.encode_gauge(&i64::try_from(*level).unwrap_or(i64::MAX)),
        Reading::Histogram { buckets, seconds } => {
            let total = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(*seconds, total, buckets, None)
        }
    }
}
