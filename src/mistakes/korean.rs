//! 실수마다 하는 말: what is said about each mistake in Korean.
//!
//! A particle depends on the last sound of the word before it (을/를, 이/가, 은/는, 과/와, 으로/로), which nobody knows of
//! an inserted name, shape or number. So every inserted word is followed by a noun (`층`, `개`, `값`), by 인가요 or 입니다,
//! or by a particle that never changes (의, 에, 에서, 부터, 까지).

use super::{
    Count, Kind, Mistake, Range, Units, Weighted, argument, as_image, as_sequence, is_column, more_units,
};
use crate::losses::Loss;
use crate::shape::Shape;
use std::borrow::Cow;

/// The sentence and the hint.
pub(super) fn told(mistake: &Mistake) -> (String, String) {
    match mistake {
        Mistake::UnknownName { what, name, nearest, known } => {
            (format!("알 수 없는 {} 이름입니다: `{name}`", noun(what)), did_you_mean(nearest, known))
        }
        Mistake::OtherKind { what, name, kind } => (
            format!("`{name}`: {}가 아니라 {}의 이름입니다", kind_noun(*what), kind_noun(*kind)),
            match kind {
                Kind::Loss => format!("손실 함수는 `compile` 호출에 지정하세요: `Compile::new(\"{name}\")`"),
                Kind::Metric => format!("측정 지표는 손실 함수와 따로 지정하세요: `Compile::new(\"mse\").metric(\"{name}\")`"),
                Kind::Optimizer => format!("옵티마이저는 손실 함수와 따로 지정하세요: `Compile::new(\"mse\").optimizer(\"{name}\")`"),
                Kind::Activation => format!("활성화 함수는 층에 지정하세요: `Dense::new(10).activation(\"{name}\".parse()?)`"),
            },
        ),
        Mistake::UnknownFigure { figure, nearest, known } => {
            let recorded = known.join(", ");
            let remedy = match figure.strip_prefix("val_") {
                Some(_) if !known.iter().any(|k| k.starts_with("val_")) => {
                    "`fit` 호출에 검증 세트를 지정하세요: `.validation_split(0.2)` 또는 `.validation(&data)`".into()
                }
                Some(own) if !known.iter().any(|k| k == own) && nearest.is_none() => {
                    format!("`compile` 호출에 측정 지표를 추가하세요: `.metric(\"{own}\")`")
                }
                None if nearest.is_none() => {
                    format!("`compile` 호출에 측정 지표를 추가하세요: `.metric(\"{figure}\")`")
                }
                _ => did_you_mean(nearest, known),
            };
            (format!("콜백이 `{figure}` 값을 지켜보지만, 에포크마다 기록된 값은 다음뿐입니다: {recorded}"), remedy)
        }

        Mistake::NoLayers => (
            "모델에 층이 하나도 없습니다".into(),
            "`add` 또는 `with` 메서드로 층을 추가하세요: `model.add(Dense::new(10))`".into(),
        ),
        Mistake::SameName { name } => (
            format!("이름이 `{name}`인 층이 두 개 있습니다"),
            format!("층마다 서로 다른 이름을 붙이세요: `model.add((\"{name}_2\", Dense::new(10)))`"),
        ),
        Mistake::NoUnits { layer, units } => {
            let (none, what) = match units {
                Units::Units => ("유닛이", "유닛"),
                Units::Filters => ("필터가", "필터"),
            };
            (
                format!("`{layer}` 층에 {none} 없습니다"),
                format!("{what} 수를 1 이상으로 지정하세요. 층을 만들 때 첫 번째로 쓰는 수입니다"),
            )
        }
        Mistake::DropoutRate { layer, rate } => (
            format!("`{layer}` 층의 드롭아웃 비율은 0 이상 1 미만이어야 하는데, {rate}입니다"),
            match *rate > 1.0 && *rate < 100.0 {
                true => format!("비율은 퍼센트가 아니라 버릴 몫을 나타냅니다. 혹시 {}인가요?", rate / 100.0),
                false => "비율은 버릴 몫을 나타냅니다. 넷 중 하나를 버리려면 0.25라고 쓰세요".into(),
            },
        ),
        Mistake::ImageWanted { layer, got, axes, flattened } => {
            let expected = match axes {
                1 => "[N, 스텝, 채널]",
                2 => "[N, 높이, 너비, 채널]",
                _ => "[N, 깊이, 높이, 너비, 채널]",
            };
            let remedy = match (flattened, as_image(got, *axes)) {
                (Some(flatten), _) => format!(
                    "아래에 있는 `{flatten}` 층이 샘플을 한 줄로 펼쳤습니다. 합성곱과 풀링, Flatten, Dense 순서로 층을 놓으세요"
                ),
                (None, Some(image)) => format!("이 층 앞에 Reshape::new({image:?}) 층을 추가하세요"),
                (None, None) => {
                    format!("공간 차원 {axes}개와 채널 차원을 만드는 Reshape 층을 이 층 앞에 추가하세요")
                }
            };
            (got_expected(layer, got, expected), remedy)
        }
        Mistake::SequenceWanted { layer, got, last_step_of } => {
            let remedy = match (got.rank(), last_step_of) {
                (_, Some(below)) => format!(
                    "아래에 있는 `{below}` 층이 마지막 스텝만 내보냅니다. 그 층에 return_sequences(true) 설정을 추가하세요"
                ),
                (0 | 1, None) => format!(
                    "시퀀스에는 타임 스텝이 있어야 합니다. 이 층 앞에 Reshape::new({:?}) 층을 추가하거나, 아래 순환층에 return_sequences(true) 설정을 추가하세요",
                    as_sequence(got)
                ),
                _ => format!(
                    "순환층은 한 차원만 따라갑니다. Reshape::new({:?}) 층을 추가해 나머지 차원을 하나로 합치세요",
                    as_sequence(got)
                ),
            };
            (got_expected(layer, got, "[N, 스텝, 특성]"), remedy)
        }
        Mistake::WindowTooLarge { layer, got, reach, extent, channels_first } => (
            format!(
                "`{layer}` 층에 {} 모양의 데이터가 들어왔는데, 크기가 {reach}인 윈도가 길이 {extent}인 차원에 들어가지 않습니다",
                got.per_sample()
            ),
            match channels_first {
                true => "채널은 마지막 차원입니다. 이미지를 [높이, 너비, 채널] 모양으로 바꾸세요".into(),
                false => "커널을 줄이거나, 앞의 풀링층을 줄이거나, 더 큰 입력을 쓰거나, `same` 패딩을 사용하세요".into(),
            },
        ),
        Mistake::ReshapeCount { layer, from, to, nearest } => {
            let (have, want) = (from.len(), to.len());
            let rule = format!("모양을 바꿔도 원소 개수는 그대로여야 하는데, {have}개와 {want}개로 서로 다릅니다");
            let remedy = match nearest {
                Some(near) => format!("{rule}. 혹시 {near}인가요?"),
                None => format!("{rule}. 곱해서 {have}개가 되는 모양을 고르세요"),
            };
            let problem = match layer {
                Some(layer) => got_expected(layer, from, &format!("샘플마다 원소가 {want}개인 [N, ...]")),
                None => format!("모양이 {from}인 샘플(원소 {have}개)은 {to} 모양(원소 {want}개)이 될 수 없습니다"),
            };
            (problem, remedy)
        }
        Mistake::DeclaredInput { layer, declared, got } => (
            got_expected(layer, got, &declared.per_sample()),
            match declared.len() == got.len() {
                true => format!(
                    "`data.reshape({})?` 코드로 샘플의 모양을 바꾸거나, Input::new({}) 층으로 선언하세요",
                    argument(declared),
                    argument(got)
                ),
                false => format!("그 모양의 샘플을 주거나, Input::new({}) 층으로 선언하세요", argument(got)),
            },
        ),
        Mistake::OtherInput { layer, built, got } => (
            format!(
                "모델의 첫 번째 층인 `{layer}` 층은 {} 모양의 샘플을 받도록 만들어졌는데, 데이터는 {} 모양입니다",
                built.per_sample(),
                got.per_sample()
            ),
            match built.len() == got.len() {
                true => format!("데이터의 모양을 바꾸세요: `data.reshape({})?`", argument(built)),
                false => format!(
                    "샘플의 원소가 {}개여야 하는데 {}개입니다. 훈련할 때와 똑같이 데이터를 전처리하거나, 이 데이터에 맞는 모델을 만드세요",
                    built.len(),
                    got.len()
                ),
            },
        ),

        Mistake::NotBuilt { model, sample } => (
            format!("아직 빌드하지 않은 모델이라 가중치가 없습니다: `{model}`"),
            match sample {
                Some(sample) => format!(
                    "`fit` 메서드로 훈련하거나 가중치를 불러오세요. 훈련하지 않은 가중치를 만들려면 `model.build({})?` 코드를 쓰세요",
                    argument(sample)
                ),
                None => "`fit` 메서드를 호출하거나, 샘플 하나의 모양을 주고 `build` 메서드를 호출하거나, 첫 번째 층을 `Input` 층으로 하세요".into(),
            },
        ),
        Mistake::NotCompiled { model } => (
            format!("컴파일하지 않아 손실 함수가 없는 모델입니다: `{model}`"),
            "먼저 `compile` 메서드를 호출하세요: `model.compile(Compile::new(\"mse\").optimizer(\"adam\"))?`".into(),
        ),

        Mistake::SoftmaxOverOne { layer } => (
            format!("`{layer}` 층은 유닛이 하나인 소프트맥스라서 출력이 항상 1입니다"),
            "`sigmoid` 활성화 함수와 `binary_crossentropy` 손실 함수를 쓰거나, 클래스마다 유닛을 하나씩 두세요".into(),
        ),
        Mistake::OneOutput { loss, layer } => (
            format!("`{loss}` 손실 함수에는 클래스마다 출력이 하나씩 필요한데, `{layer}` 층의 출력은 하나뿐입니다"),
            "마지막 층에 클래스 개수만큼 유닛을 두거나, `sigmoid` 활성화 함수와 `binary_crossentropy` 손실 함수를 쓰세요".into(),
        ),
        Mistake::SigmoidForClasses { loss, layer } => (
            format!("`{loss}` 손실 함수에는 합이 1인 확률이 필요한데, `{layer}` 층은 `sigmoid` 활성화 함수로 끝납니다"),
            "`softmax` 활성화 함수를 쓰세요. 한 샘플이 여러 클래스에 속할 수 있다면 `binary_crossentropy` 손실 함수를 쓰세요".into(),
        ),
        Mistake::Hyperparameter { name, value, range } => (
            format!("{} 값이 {value}입니다", noun(name)),
            match (*name, range) {
                ("learning rate", Range::Positive) => "0.01처럼 0보다 큰 수를 지정하세요".into(),
                ("learning rate", _) => "0.01처럼 0 이상인 수를 지정하세요".into(),
                (_, Range::Positive) => "0보다 큰 수를 지정하세요".into(),
                (_, Range::NotNegative) => "0 이상인 수를 지정하세요".into(),
                (_, Range::Fraction) => "0 이상 1 미만인 수를 지정하세요".into(),
            },
        ),
        Mistake::MetricTargets { metric, loss } => {
            let (has, wants) = match loss.is_sparse() {
                true => ("클래스 번호를", "원-핫 인코딩된 타깃을"),
                false => ("실수값 타깃을", "클래스 번호를"),
            };
            (
                format!("`{metric}` 지표는 {wants} 쓰는데, `{loss}` 손실 함수는 {has} 씁니다"),
                "`accuracy` 지표를 쓰세요. 손실 함수와 같은 타깃을 사용합니다".into(),
            )
        }

        Mistake::LabelsWanted { loss, layer, target, classes } => (
            format!(
                "`{layer}` 층의 출력에 쓰인 `{loss}` 손실 함수에는 클래스 번호가 필요한데, 타깃은 {} 모양의 실수값입니다",
                target.per_sample()
            ),
            match target.last() {
                width if width == *classes => "원-핫 인코딩된 타깃에는 `categorical_crossentropy` 손실 함수를 쓰거나, 클래스 번호를 주세요: `Targets::labels(vec![3, 0, 2])`".into(),
                1 => "타깃을 클래스 번호로 주세요: `Targets::labels(vec![3, 0, 2])`".into(),
                _ => "`Targets::labels(vec![3, 0, 2])`처럼 클래스 번호를 주세요. 클래스가 아닌 값이라면 `mse` 손실 함수를 쓰세요".into(),
            },
        ),
        Mistake::ValuesWanted { loss, layer, outputs } => (
            format!(
                "`{loss}` 손실 함수에는 `{layer}` 층의 출력 {outputs}개마다 값이 하나씩 필요한데, 타깃은 클래스 번호입니다"
            ),
            match loss {
                Loss::CategoricalCrossentropy { .. } => format!(
                    "`sparse_categorical_crossentropy` 손실 함수를 쓰거나, 레이블을 원-핫 인코딩하세요: `data.one_hot({outputs})?`"
                ),
                _ => format!(
                    "클래스를 분류하려면 소프트맥스와 `sparse_categorical_crossentropy` 손실 함수를 쓰세요. `{loss}` 손실 함수를 그대로 쓰려면 레이블을 원-핫 인코딩하세요: `data.one_hot({outputs})?`"
                ),
            },
        ),
        Mistake::LabelOutside { layer, label, sample, classes, from_one } => {
            let of = layer.as_ref().map_or(String::new(), |layer| format!("`{layer}` 층의 "));
            let rule = format!("레이블은 0부터 {}까지입니다", classes.saturating_sub(1));
            (
                format!("{sample}번 샘플의 레이블이 {label}입니다. {of}클래스 {classes}개를 벗어났습니다"),
                match (from_one, layer) {
                    (true, _) => format!("{rule}. 지금 레이블은 1부터 {label}까지이므로 1씩 빼세요"),
                    (false, Some(_)) if more_units(*label, *classes) => {
                        format!("{rule}. 레이블을 고치거나, 층의 유닛을 {}개로 늘리세요", u64::from(*label) + 1)
                    }
                    (false, _) => format!("{rule}. 레이블을 고치거나, 클래스 개수를 다시 확인하세요"),
                },
            )
        }
        Mistake::NotBinary { layer, value, sample, column } => (
            format!(
                "`{layer}` 층의 출력에 쓰인 `binary_crossentropy` 손실 함수에는 0과 1 사이의 타깃이 필요한데, {sample}번 샘플의 {column}번 열이 {value}입니다"
            ),
            match *value == -1.0 {
                true => "두 클래스를 -1과 1이 아니라 0과 1로 나타내거나, `hinge` 손실 함수를 쓰세요".into(),
                false => "두 클래스를 0과 1로 나타내세요. 클래스가 더 많다면 소프트맥스와 `sparse_categorical_crossentropy` 손실 함수를, 클래스가 아닌 값이라면 `mse` 손실 함수를 쓰세요".into(),
            },
        ),
        Mistake::TargetWidth { loss, layer, output, target } => {
            let remedy = match (output.rank(), target.rank(), loss) {
                (1, 0 | 1, Loss::CategoricalCrossentropy { .. }) => {
                    let n = target.last();
                    format!("원-핫 인코딩의 열이 {n}개이므로 마지막 층의 유닛도 {n}개로 하세요")
                }
                (1, 0 | 1, _) => format!(
                    "마지막 층의 유닛을 {}개로 하거나, 샘플마다 타깃 값을 {}개씩 주세요",
                    target.last(),
                    output.last()
                ),
                _ => "마지막 층의 출력 개수를 타깃 값의 개수와 같게 하세요".into(),
            };
            (
                format!(
                    "타깃은 {} 모양인데, `{layer}` 층의 출력은 {} 모양입니다",
                    target.per_sample(),
                    output.per_sample()
                ),
                remedy,
            )
        }
        Mistake::MissingFlatten { layer, output } => (
            format!(
                "`{layer}` 층의 출력은 {} 모양이어서 위치 {}곳마다 한 줄씩인데, 타깃은 샘플마다 하나입니다",
                output.per_sample(),
                output.as_matrix().0
            ),
            match output.rank() {
                2 => "첫 번째 Dense 층 앞에 Flatten::new() 층을 추가하거나, 마지막 순환층의 return_sequences(true) 설정을 지우세요".into(),
                _ => "첫 번째 Dense 층 앞에 Flatten::new() 층을 추가하세요. Dense 층은 마지막 차원에만 작용합니다".into(),
            },
        ),
        Mistake::EncodedAgain { targets, classes } => {
            let again: Vec<usize> = targets.iter().copied().chain([*classes]).collect();
            (
                format!("타깃은 이미 {targets:?} 모양입니다. 원-핫 인코딩을 두 번 하면 {again:?} 모양이 됩니다"),
                "`one_hot` 메서드는 레이블에 한 번만 쓰세요. 레이블을 그대로 두고 `sparse_categorical_crossentropy` 손실 함수를 써도 됩니다".into(),
            )
        }
        Mistake::EncodedTwice { layer, targets, output } => {
            let once = targets.first().map_or(*output, |&n| output.batched(n));
            (
                format!("타깃이 {targets:?} 모양입니다. 원-핫 인코딩을 두 번 이상 했습니다. `{layer}` 층에는 {once} 모양이 필요합니다"),
                format!(
                    "레이블로 돌아가 원-핫 인코딩을 한 번만 하세요: `data.one_hot({})?`. 레이블을 그대로 두고 `sparse_categorical_crossentropy` 손실 함수를 써도 됩니다",
                    output.last()
                ),
            )
        }

        Mistake::Empty { part, shape } => (
            match part {
                Some(part) => format!("{part} 데이터가 비어 있습니다. 모양이 {shape:?}입니다"),
                None => format!("데이터가 비어 있습니다. 모양이 {shape:?}입니다"),
            },
            "샘플이 하나 이상 있어야 합니다. 모든 행이 걸러졌거나 다른 파일을 읽은 것은 아닌지 확인하세요".into(),
        ),
        Mistake::NotFinite { part, value, sample, at } => {
            let place = match is_column(at) {
                Some(column) => format!("{column}번 열"),
                None => format!("{at:?} 위치"),
            };
            (
                format!("{part} 데이터에서 {sample}번 샘플의 {place} 값이 {value}입니다(0번부터 셉니다)"),
                match value.is_nan() {
                    true => "NaN 값은 빠진 값을 뜻합니다. 그 샘플을 빼거나, 열의 평균으로 채우세요".into(),
                    false => "0으로 나누거나 0의 로그를 구하면 이런 값이 나옵니다. 그 샘플을 빼거나, 값을 고치세요".into(),
                },
            )
        }
        Mistake::Counts { samples, targets } => (
            format!("샘플은 {samples}개인데 타깃은 {targets}개입니다"),
            "샘플마다 타깃을 하나씩, 같은 순서로 주세요".into(),
        ),
        Mistake::RaggedRow { part, row, numbers, expected } => (
            format!("{part} 데이터의 {row}번 행에는 수가 {numbers}개 있는데, 0번 행에는 {expected}개 있습니다"),
            "모든 행의 길이를 같게 하세요. 빠진 값이나 남는 값이 있는지 확인하세요".into(),
        ),
        Mistake::BrokenSample { part, sample, numbers } => (
            format!(
                "{part} 데이터에는 수가 {numbers}개 있는데, 한 샘플의 원소 개수인 {}개(모양 {sample})로 나누어떨어지지 않습니다",
                sample.len()
            ),
            format!(
                "온전한 샘플을 차례로 주세요. 샘플이 {}개이면 수가 {}개여야 합니다",
                numbers / sample.len() + 1,
                (numbers / sample.len() + 1).saturating_mul(sample.len())
            ),
        ),
        Mistake::NothingLeft { part, of } => (
            format!("샘플 {of}개 중 {part}개를 한쪽에 두면 {} 샘플이 없습니다", if *part == 0 { "그쪽에는" } else { "다른 쪽에는" }),
            "양쪽에 샘플을 하나 이상 남기세요. 비율을 바꾸거나, 샘플을 더 많이 쓰세요(명령줄에서는 `--limit`)".into(),
        ),

        Mistake::Zero(count) => {
            let (what, code, option, usual) = match count {
                Count::Epochs => ("에포크 수가", "epochs", "--epochs", 5),
                Count::BatchSize => ("배치 크기가", "batch_size", "--batch-size", 32),
            };
            (
                format!("{what} 0입니다"),
                format!("1 이상으로 지정하세요: 프로그램에서는 `.{code}({usual})`, 명령줄에서는 `{option} {usual}`"),
            )
        }
        Mistake::ValidationSplit { share, training, samples } => (
            format!("검증 세트의 비율이 {share}이면 훈련 세트에는 샘플 {samples}개 중 {training}개가 남습니다"),
            "양쪽에 샘플이 남도록 0과 1 사이의 비율을 지정하세요: `.validation_split(0.2)`".into(),
        ),
        Mistake::TestShare { share } => (
            format!("테스트 세트의 비율이 {share}이면 한쪽에 샘플이 남지 않습니다"),
            "0과 1 사이의 비율이나 샘플 개수를 지정하세요: `data.train_test_split(0.2, 42, true)?`".into(),
        ),
        Mistake::SampleWeights { weights, samples } => (
            format!("샘플은 {samples}개인데 샘플 가중치는 {weights}개입니다"),
            "샘플마다 가중치를 하나씩 주세요".into(),
        ),
        Mistake::BadWeight { of, weight } => {
            let whose = match of {
                Weighted::Class(class) => format!("{class}번 클래스"),
                Weighted::Sample(sample) => format!("{sample}번 샘플"),
            };
            (
                format!("{whose}의 가중치가 {weight}입니다"),
                "가중치는 0 이상의 유한한 수로 지정하세요. 2이면 두 배로 반영되고, 0이면 반영되지 않습니다".into(),
            )
        }
        Mistake::Diverged { epoch, learning_rate } => (
            format!("훈련이 발산했습니다. {epoch}번째 에포크에서 손실이 더 이상 수가 아닙니다"),
            format!(
                "학습률을 {learning_rate}보다 작게 하거나(`--learning-rate {}`), 다른 옵티마이저를 쓰세요(`--optimizer`)",
                super::tenth(*learning_rate)
            ),
        ),

        Mistake::WeightShape { weight, shape, given, given_shape } => (
            format!("가중치 `{weight}`의 모양은 {shape}인데, 주어진 가중치 `{given}`의 모양은 {given_shape}입니다"),
            OTHER_MODEL.into(),
        ),
        Mistake::WeightCount { model, given, unpaired } => (
            format!("모델의 가중치는 {model}개인데 주어진 가중치는 {given}개입니다. `{unpaired}`의 짝이 없습니다"),
            OTHER_MODEL.into(),
        ),
    }
}

const OTHER_MODEL: &str = "다른 모델의 가중치입니다. 층과 유닛 수와 입력이 같은 모델에 불러오세요";

fn got_expected(layer: &str, got: &Shape, expected: &str) -> String {
    format!("`{layer}` 층에 {} 모양의 데이터가 들어왔습니다. {expected} 모양이어야 합니다", got.per_sample())
}

fn did_you_mean(nearest: &Option<String>, known: &[String]) -> String {
    let known = known.join(", ");
    match nearest {
        Some(near) => format!("혹시 `{near}`인가요? 쓸 수 있는 이름은 다음과 같습니다: {known}"),
        None => format!("쓸 수 있는 이름은 다음과 같습니다: {known}"),
    }
}

fn kind_noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Loss => "손실 함수",
        Kind::Metric => "측정 지표",
        Kind::Optimizer => "옵티마이저",
        Kind::Activation => "활성화 함수",
    }
}

/// What textbooks call it. A test knows every word that stands in this crate; of another, the word itself.
fn noun(english: &str) -> Cow<'_, str> {
    match english.strip_prefix("option of ") {
        Some(owner) => format!("{}의 옵션", owner_noun(owner)).into(),
        None => word(english).unwrap_or(english).into(),
    }
}

/// Whose options are read from a file. Classes (`Dense`) and calls (`compile`) are called as in a program.
fn owner_noun(english: &str) -> &str {
    match english {
        "a callback" => "콜백",
        "history" => "훈련 기록",
        "pause" => "중단 지점",
        "run" => "실행 기록",
        "the file" => "파일",
        "the model" => "모델",
        "training" => "훈련",
        other => other,
    }
}

fn word(english: &str) -> Option<&str> {
    Some(match english {
        // What has a name.
        "activation" => "활성화 함수",
        "class" => "클래스",
        "column" => "열",
        "data set" => "데이터 세트",
        "device" => "장치",
        "family" => "벤치마크 묶음",
        "figure in the file's name" => "파일 이름에 쓰인 값",
        "figure of the history" => "훈련 기록의 값",
        "initializer" => "초기화 방법",
        "instruction set" => "명령어 집합",
        "key" => "키",
        "language" => "언어",
        "layer" => "층",
        "learning rate schedule" => "학습률 스케줄",
        "loss" => "손실 함수",
        "metric" => "측정 지표",
        "optimizer" => "옵티마이저",
        "padding" => "패딩",
        "preset" => "프리셋",
        "rung" => "단계",
        "text" => "텍스트",
        // Hyperparameters.
        "clipping limit" => "그레이디언트 클리핑 한계",
        "decay rate" => "감쇠율",
        "end learning rate" => "마지막 학습률",
        "initial accumulator value" => "누산기 초깃값",
        "initial learning rate" => "초기 학습률",
        "learning rate" => "학습률",
        "momentum" => "모멘텀",
        "warmup target" => "웜업 목표",
        "weight decay" => "가중치 감쇠",
        // What a program calls them, and textbooks in Korean too.
        "alpha" | "beta_1" | "beta_2" | "epsilon" | "m_mul" | "power" | "rho" | "t_mul" => english,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let below = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
        below.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
    }

    /// What stands behind each `call` in `source`: the first string, or the code where no string begins.
    fn arguments<'a>(source: &'a str, call: &'a str) -> impl Iterator<Item = Result<&'a str, &'a str>> {
        source.match_indices(call).map(move |(at, _)| {
            let rest = source[at + call.len()..].trim_start();
            match rest.strip_prefix('"') {
                Some(text) => Ok(text.split('"').next().unwrap_or_default()),
                None => Err(rest.get(..40).unwrap_or(rest)),
            }
        })
    }

    /// Every word that any file of this crate gives to an error. A new one fails here until it has a noun; so does a new
    /// way to give one that is no string in the call.
    #[test]
    fn every_word_in_this_crate_has_a_noun() {
        // The functions themselves, and callers whose words come from the strings below.
        let handed_on = ["what", "&self,", ")", "key,", "misspelt,", "format!(\"option of"];
        let mut words = Vec::new();
        let all = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        for path in all.iter().filter(|path| !path.ends_with("mistakes/korean.rs")) {
            let source = std::fs::read_to_string(path).unwrap();
            let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
            for call in ["unknown(", "unknown_name("] {
                for argument in arguments(&source, call) {
                    match argument {
                        Ok(word) => words.push(word.to_string()),
                        Err(code) => {
                            let known = handed_on.iter().any(|start| code.starts_with(start));
                            assert!(known, "{}: what is unknown in `{code}`?", path.display());
                        }
                    }
                }
            }
            let mut calls = vec!["check_keys(", "Hyperparameter { name:"];
            if path.components().any(|c| c.as_os_str() == "optimizers") {
                calls.extend([" fraction(", " positive(", " not_negative("]);
            }
            for call in calls {
                words.extend(arguments(&source, call).flatten().map(str::to_string));
            }
            if path.ends_with("schedules.rs") {
                let pairs = source.split_once("fn check(").unwrap().1;
                let pairs = pairs.split_once("for &(name, value) in numbers").unwrap().0;
                words.extend(arguments(pairs, "(").flatten().map(str::to_string));
            }
        }
        for expected in ["loss", "key", "padding", "learning rate", "momentum", "t_mul"] {
            assert!(words.iter().any(|word| word == expected), "`{expected}` was not found: {words:?}");
        }
        let is_hangul = |c: char| ('가'..='힣').contains(&c);
        for english in &words {
            let korean = word(english).unwrap_or_else(|| panic!("`{english}` has no Korean noun"));
            assert!(korean == english || korean.chars().all(|c| is_hangul(c) || c == ' '), "{korean}");
        }
    }

    #[test]
    fn options_belong_to_what_has_them() {
        assert_eq!(noun("option of the model"), "모델의 옵션");
        assert_eq!(noun("option of Dense"), "Dense의 옵션");
        let unknown = Mistake::unknown_name("option of a callback", "patiance", &["patience"]);
        let expected = "알 수 없는 콜백의 옵션 이름입니다: `patiance`";
        assert_eq!(told(&unknown).0, expected);
    }

    /// `{}가` in the sentence about a name of another kind: after a vowel alone.
    #[test]
    fn kinds_end_in_a_vowel() {
        for kind in Kind::ALL {
            let last = kind_noun(kind).chars().last().map(u32::from).unwrap();
            assert_eq!((last - u32::from('가')) % 28, 0, "{}", kind_noun(kind));
        }
    }
}
