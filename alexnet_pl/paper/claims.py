"""Tables 1 and 2, §2 to §8: every number in the AlexNet paper, with its data set and recipe.

The paper does not always say which year's images a number was measured on. The authors' logs match to the last digit
for the one-GPU network (ILSVRC-2010 test) and for the networks without normalization and with non-overlapping pooling
(ILSVRC-2012 validation). No log is known for color noise, dropout and the removed layers: ILSVRC-2010 test is assumed,
on which "we performed most of our experiments" (§3).
"""

import math

from alexnet_pl.paper.claim import Claim, error_values
from alexnet_pl.paper.overfeat_claims import OVERFEAT_CLAIMS


def prior_work(
    key: str, group: str, section: str, label: str, quote: str, data: str, values: dict[str, float]
) -> Claim:
    """Claim that the paper quotes from other work; no recipe measures it."""
    return Claim(key, group, section, label, quote, values, data)


LOGGED = ("schedule.name=logged",)  # recipes ilsvrc2010 and ilsvrc2012 have the epochs of their own runs
LOGS: dict[str, dict[str, int | None]] = {  # epochs of layer-params-145-half, 148 and 147; see docs/deviations.md
    "towers": {"drop1": 20, "drop2": 48, "cool": 66, "freeze": 72, "drop3": 78, "stop": 96, "bias_drop": None},
    "norm": {"drop1": 22, "drop2": 44, "cool": 69, "freeze": 73, "drop3": 86, "stop": 97, "bias_drop": None},
    "overlap": {"drop1": 23, "drop2": 51, "cool": 79, "freeze": 79, "drop3": 79, "stop": 90, "bias_drop": 23},
}


def replay(epochs: dict[str, int | None]) -> tuple[str, ...]:
    """Overrides of `schedule.logged` for another run's epochs, and of the epoch limit."""
    keys = (f"++schedule.logged.{key}={'null' if epoch is None else epoch}" for key, epoch in epochs.items())
    return (*LOGGED, *keys, f"trainer.max_epochs={epochs['stop']}")


def ablation(
    key: str, section: str, label: str, quote: str, values: dict[str, float], overrides: str, **options: str
) -> Claim:
    """Claim about a variant that the paper compares with the full network on the same images. A replay of the authors'
    own run fills the row too, if `LOGS` has its epochs."""
    year = options.get("year", "2010")
    data, baseline = {"2010": ("ILSVRC-2010 test", "table1.cnn"), "2012": ("ILSVRC-2012 val", "table2.cnn")}[year]
    words = tuple(overrides.split())
    return Claim(
        key, ABLATIONS, section, label, quote, values, data, f"ilsvrc{year}", words,
        alternatives=((f"ilsvrc{year}", (*words, *replay(LOGS[key]))),) if key in LOGS else (),
        baseline=baseline, relative=True, bound=options.get("bound", ""),
    )  # fmt: skip


TABLE1, TABLE2, FALL = "Table 1: ILSVRC-2010, test", "Table 2: ILSVRC-2012", "Fall 2009"
ABLATIONS, NETWORK, CIFAR = "What each part brings", "The network and its training", "CIFAR-10"
VAL, TEST, TEST2010 = "ILSVRC-2012 val", "ILSVRC-2012 test", "ILSVRC-2010 test"
CHAIN = (("finetune2012", ("transfer.pretrain_recipe=fall2011_chain",)),)
FIVE_VARIANTS = (("ensemble_5variants", ()),)
AS_RECORDED = (("ensemble_7cnns_chain", ()), ("ensemble_7variants", ()))
FINETUNED = 'Training one CNN … to classify the entire ImageNet Fall 2011 release … and then "fine-tuning" it'

CLAIMS = [
    prior_work("table1.sparse", TABLE1, "Table 1", "Sparse coding", "47.1 28.2", TEST2010, error_values(47.1, 28.2)),
    prior_work("table1.fv", TABLE1, "Table 1", "SIFT + FVs", "45.7 25.7", TEST2010, error_values(45.7, 25.7)),
    Claim(
        "table1.cnn", TABLE1, "Table 1", "CNN", "top-1 and top-5 test set error rates of 37.5% and 17.0%",
        error_values(37.5, 17.0), "ILSVRC-2010 test", "ilsvrc2010", alternatives=(("ilsvrc2010", LOGGED),),
    ),
    Claim(
        "footnote_e.center", TABLE1, "§7, note e", "CNN, center view",
        "The error rates without averaging predictions over 10 patches … are 39.0% and 18.3%",
        error_values(39.0, 18.3), TEST2010, "ilsvrc2010", alternatives=(("ilsvrc2010", LOGGED),),
        views="center", baseline="table1.cnn",
    ),
    prior_work("table2.fv", TABLE2, "Table 2", "SIFT + FVs, test", "26.2", TEST, {"top5_error": 26.2}),
    Claim(
        "table2.cnn", TABLE2, "Table 2", "1 CNN", "achieves a top-5 error rate of 18.2%",
        error_values(40.7, 18.2), VAL, "ilsvrc2012", alternatives=(("ilsvrc2012", LOGGED),),
    ),
    Claim(
        "table2.5cnns", TABLE2, "Table 2", "5 CNNs",
        "Averaging the predictions of five similar CNNs gives an error rate of 16.4%",
        error_values(38.1, 16.4), VAL, "ensemble_5cnns", alternatives=FIVE_VARIANTS, baseline="table2.cnn",
    ),
    Claim(
        "table2.5cnns.test", TABLE2, "Table 2", "5 CNNs, test", "38.1 16.4 16.4",
        {"top5_error": 16.4}, TEST, "ensemble_5cnns", alternatives=FIVE_VARIANTS,
    ),
    Claim(
        "table2.cnn*", TABLE2, "Table 2", "1 CNN*", FINETUNED,
        error_values(39.0, 16.6), VAL, "finetune2012", alternatives=CHAIN, baseline="table2.cnn",
    ),
    Claim(
        "table2.7cnns*", TABLE2, "Table 2", "7 CNNs*",
        "two CNNs that were pre-trained on the entire Fall 2011 release with the afore mentioned five CNNs",
        error_values(36.7, 15.4), VAL, "ensemble_7cnns", alternatives=AS_RECORDED, baseline="table2.cnn",
        other_baselines=("table2.5cnns", "table2.cnn*"),
    ),
    Claim(
        "table2.7cnns*.test", TABLE2, "Table 2", "7 CNNs*, test", "gives an error rate of 15.3%",
        {"top5_error": 15.3}, TEST, "ensemble_7cnns", alternatives=AS_RECORDED,
    ),
    prior_work("fall2009.best", FALL, "§7", "Mensink et al.", "78.1% and 60.9%", "Fall 2009", error_values(78.1, 60.9)),
    Claim(
        "fall2009.cnn", FALL, "§7", "CNN, six convolutional layers",
        "Our top-1 and top-5 error rates on this dataset are 67.4% and 40.9%",
        error_values(67.4, 40.9), "Fall 2009", "fall2009",
    ),
    ablation(
        "towers", "§4.2, note b", "one GPU, half the kernels",
        "reduces our top-1 and top-5 error rates by 1.7% and 1.2%", error_values(1.7, 1.2), "model.towers=1",
    ),
    ablation(
        "norm", "§4.3", "no response normalization",
        "Response normalization reduces our top-1 and top-5 error rates by 1.4% and 1.2%",
        error_values(1.4, 1.2), "model.norm=false", year="2012",
    ),
    ablation(
        "overlap", "§4.4", "pooling without overlap, s = z = 2",
        "reduces the top-1 and top-5 error rates by 0.4% and 0.3%", error_values(0.4, 0.3), "model.overlap=false",
        year="2012",
    ),
    ablation(
        "crops", "§5.1", "no crops and reflections",
        "Without this scheme, our network suffers from substantial overfitting", {"top1_error": math.nan},
        "augment.random_crop=false augment.flip=false",
    ),
    ablation(
        "noise", "§5.1", "no color noise", "This scheme reduces the top-1 error rate by over 1%",
        {"top1_error": 1.0}, "augment.noise=0", bound="over",
    ),
    *(
        ablation(
            f"without.{layer}", "§8", f"without {layer}",
            "removing any of the middle layers results in a loss of about 2%",
            {"top1_error": 2.0}, f"model.without={layer}", bound="about",
        )
        for layer in ("conv2", "conv3", "conv4")
    ),
    ablation(  # conv5 is no "middle layer"
        "without.conv5", "§2", "without conv5",
        "removing any convolutional layer … resulted in inferior performance",
        {"top1_error": math.nan}, "model.without=conv5",
    ),
    ablation(
        "dropout", "§5.2", "no dropout", "Without dropout, our network exhibits substantial overfitting",
        {"top1_error": math.nan}, "model.dropout=0",
    ),
    Claim(
        "parameters", NETWORK, "abstract", "parameters", "which has 60 million parameters and 650,000 neurons",
        {"parameters": 60e6}, None, "ilsvrc2012", bound="about",
    ),
    Claim(
        "neurons", NETWORK, "abstract", "neurons", "which has 60 million parameters and 650,000 neurons",
        {"neurons": 650_000}, None, "ilsvrc2012", bound="about",
    ),
    *(  # two of the five convolutional layers have more
        Claim(
            f"{layer}_share", NETWORK, "§2", f"share of the parameters in {layer}, %",
            "each of which contains no more than 1% of the model's parameters",
            {f"{layer}_share": 1.0}, None, "ilsvrc2012", bound="at most",
        )
        for layer in ("conv3", "conv4")
    ),
    Claim(
        "epochs", NETWORK, "§6", "epochs", "roughly 90 cycles through the training set of 1.2 million images",
        {"epochs": 90}, "ILSVRC-2010 test", "ilsvrc2010", bound="about",
    ),
    Claim(
        "days", NETWORK, "§2, §6", "days of training", "between 5 and 6 days to train on two GTX 580 3GB GPUs",
        {"days": 5.5}, "ILSVRC-2010 test", "ilsvrc2010", alternatives=(("ilsvrc2010", LOGGED),), bound="about",
    ),
    Claim(
        "dropout.iterations", NETWORK, "§5.2", "iterations, with ÷ without dropout",
        "Dropout roughly doubles the number of iterations required to converge",
        {"steps": 2.0}, "ILSVRC-2010 test", "ilsvrc2010", baseline="dropout", relative=True, ratio=True, bound="about",
    ),
    Claim(
        "cifar.13pct", CIFAR, "§4.3", "four layers, no normalization", "a 13% test error rate without normalization",
        {"top1_error": 13.0}, "CIFAR-10 test", "cifar10_13pct", views="nine", other_views=("ten",),
    ),
    Claim(
        "cifar.11pct", CIFAR, "§4.3", "four layers, normalization", "and 11% with normalization",
        {"top1_error": 11.0}, "CIFAR-10 test", "cifar10_11pct", views="nine", other_views=("ten",),
        baseline="cifar.13pct",
    ),
    Claim(
        "figure1.relu", CIFAR, "Figure 1", "epochs to 25 % training error, ReLU", "reaches a 25% training error rate",
        {"epochs_to_25": math.nan}, "CIFAR-10 test", "cifar10", ("model.activation=relu",), views="center",
    ),
    Claim(
        "figure1", CIFAR, "Figure 1", "epochs to 25 % training error, tanh ÷ ReLU",
        "six times faster than an equivalent network with tanh neurons",
        {"epochs_to_25": 6.0}, "CIFAR-10 test", "cifar10", ("model.activation=tanh",),
        views="center", baseline="figure1.relu", relative=True, ratio=True,
    ),
    *OVERFEAT_CLAIMS,
]  # fmt: skip
BY_KEY = {claim.key: claim for claim in CLAIMS}
