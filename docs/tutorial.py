# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # From DNA to predictions
#
# This tutorial embeds windows of coding sequences from six species with a Nucleotide Transformer, looks at the
# embeddings, and fine-tunes the model to classify the windows by species. `make docs` runs it after `make demo`, on
# two cores in a few minutes, and every number and picture below comes from that run. The sequences are synthetic, so
# the numbers show how the code works, not how biology does; [results](results.md) has real ones.
#
# A language model of DNA is used in two ways. In **training**, its weights are fitted to sequences. In
# **inference**, the weights are fixed: a sequence goes in, and a vector, a label or a probability comes out. Most
# users only need inference.

# %%
import numpy as np
import torch
from datasets import load_dataset
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from dnahub.reports.plots import COLOURS
from dnahub.reports.projection import project

logging.set_verbosity_error()
logging.disable_progress_bar()
checkpoint = "runs/demo/checkpoint"  # made by `make demo`; the name of a repository on the Hub works as well

# %% [markdown]
# ## Tokens
#
# The model reads tokens, not letters. The tokenizer cuts a sequence into 6-mers from left to right, replaces each by
# its number, and puts a special token `<cls>` in front. The 18 nucleotides of this example are three 6-mers:

# %%
tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True)
ids = tokenizer("ATGGTAGCTACATCATCT")["input_ids"]
dict(zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True))

# %% [markdown]
# Letters that do not fill a 6-mer, at the end or before an N, become tokens of one letter each, and so does N itself;
# after an N the 6-mers start again. One additional base at the beginning changes all tokens after it:

# %%
print(tokenizer.tokenize("ATGGTAGCTACATCATCTNA"))
print(tokenizer.tokenize("CATGGTAGCTACATCATCT"))

# %% [markdown]
# ## Loading a model, and masked tokens
#
# transformers' Auto classes read `config.json` of a checkpoint and choose the class of the model: `AutoModel` gives
# the encoder, `AutoModelForMaskedLM` and `AutoModelForSequenceClassification` an encoder with a head. The classes of
# this model come with the checkpoint, hence `trust_remote_code=True`.
#
# Genomes have no labels to learn from. Instead, some tokens are replaced by `<mask>`, and the model learns to
# predict them from the tokens around: **masked language modelling**. Here the middle token of the example is masked.
# This head has random weights, so each of the 4,107 tokens is about as probable as any other; with
# `AutoModelForMaskedLM.from_pretrained` and a pretrained checkpoint, the same lines give its prediction.

# %%
torch.manual_seed(0)
config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=True)
language_model = AutoModelForMaskedLM.from_config(config, trust_remote_code=True).eval()
masked = torch.tensor([ids])
masked[0, 2] = tokenizer.mask_token_id
with torch.no_grad():
    probabilities = language_model(masked).logits[0, 2].softmax(-1)
print("tokens:", tokenizer.convert_ids_to_tokens(masked[0]))
print(f"most probable: {tokenizer.decode(probabilities.argmax())}, with a probability of {probabilities.max():.5f}")

# %% [markdown]
# ## Attention masks
#
# Sequences in a batch differ in length; the shorter ones are padded with `<pad>`. The attention mask is 1 for each
# token and 0 for each `<pad>`, and tells the model to ignore the padding. Without it, the result for a sequence
# depends on the other sequences in its batch:

# %%
model = AutoModelForSequenceClassification.from_pretrained(checkpoint, trust_remote_code=True).eval()
batch = tokenizer(["ATGGTAGCTACATCATCT", "ATGGTAGCT" * 20], padding=True, return_tensors="pt")
with torch.no_grad():
    alone = model(**tokenizer("ATGGTAGCTACATCATCT", return_tensors="pt")).logits[0]
    with_mask = model(**batch).logits[0]
    without_mask = model(batch["input_ids"], attention_mask=torch.ones_like(batch["input_ids"])).logits[0]
print(f"largest difference of the logits with the mask: {(with_mask - alone).abs().max():.6f}")
print(f"without it: {(without_mask - alone).abs().max():.6f}")

# %% [markdown]
# ## A pipeline
#
# A pipeline does all of this. The class behind `pipeline("dna-embedding")` has the four methods of every pipeline of
# transformers, which run one after the other: `_sanitize_parameters` checks the arguments and hands each to its
# step, `preprocess` turns a sequence into tensors, `_forward` runs the model on a batch, and `postprocess` turns its
# output into the answer, here the mean of the last layer over the tokens.

# %%
embed = pipeline("dna-embedding", model=checkpoint, trust_remote_code=True)
vectors = embed(["ATGGTAGCTACATCATCT", "ATGGTAGCT" * 20])
print(len(vectors), vectors[0].shape, vectors[0].dtype)

# %% [markdown]
# ## Six species
#
# `make demo` has built a data set of windows of 60 nt, labelled by species. Genes, not windows, are split into
# train, validation and test, and no window shares a stretch of 30 nt with another split.

# %%
windows = load_dataset("data/demo")
names = windows["test"].features["label"].names
windows["train"][0]

# %% [markdown]
# 1,500 test windows are embedded twice: by a model with random weights, as it is before training, and below by the
# trained one.

# %%
chosen = windows["test"].shuffle(seed=0).select(range(1500))
sequences, labels = list(chosen["sequence"]), np.array(chosen["label"])
torch.manual_seed(0)
untrained = AutoModel.from_config(config, trust_remote_code=True).eval()
before = type(embed)(model=untrained, tokenizer=tokenizer).encode(sequences)  # the pipeline of another model
before.shape

# %% [markdown]
# UMAP projects the 128 dimensions onto two, so that windows with similar vectors lie near each other. Random weights
# do not separate the species:


# %%
def draw(places, title, axes):
    for i, name in enumerate(names):
        axes.scatter(*places[labels == i].T, s=4, color=COLOURS[i], label=name)
    axes.set(title=title, xticks=[], yticks=[])


figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
draw(project(before, seed=0), "Before training", axes)
_ = figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, markerscale=3)

# %% [markdown]
# ## A linear probe
#
# A picture is not a measurement. A linear probe is: a logistic regression that predicts the species from the
# vectors, fitted on one half of them and evaluated on the other.

# %%
half = len(labels) // 2


def probe(vectors):
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
    return probe.fit(vectors[:half], labels[:half]).predict(vectors[half:])


print(f"accuracy of the probe: {(probe(before) == labels[half:]).mean():.3f}, by chance {1 / len(names):.3f}")

# %% [markdown]
# ## Fine-tuning
#
# Fine-tuning puts a head for the labels on the model and trains all weights. The `Trainer` of transformers makes the
# batches, computes loss and gradients, and updates the weights. `train.py` runs this `Trainer`, and adds what a real
# training needs: checkpoints, baselines, calibration, a model card.

# %%
rows = windows["train"].shuffle(seed=0).select(range(5400)).select_columns(["sequence", "label"])
rows = rows.map(lambda batch: tokenizer(batch["sequence"]), batched=True, remove_columns="sequence")
torch.manual_seed(0)
classifier = AutoModelForSequenceClassification.from_config(config, trust_remote_code=True)
arguments = TrainingArguments(
    "runs/tutorial",
    num_train_epochs=2,
    per_device_train_batch_size=64,
    learning_rate=1e-3,
    logging_steps=50,
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    use_cpu=True,
    seed=0,
)
trainer = Trainer(classifier, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
trainer.remove_callback(PrinterCallback)
_ = trainer.train()
losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
print(f"loss: {float(losses[0]):.3f} in the first 50 steps, {float(losses[-1]):.3f} in the last 50")

# %% [markdown]
# ## The pipeline of the fine-tuned model
#
# A saved model is used like any other checkpoint. The pipeline `dna-classification` gives the most probable species
# of a window, and the probability of each. The confusion matrix counts the test windows by their species (rows) and
# by the predicted one (columns):

# %%
trainer.save_model("runs/tutorial")  # weights, configuration, and the code of the model
_ = tokenizer.save_pretrained("runs/tutorial")
classify = pipeline("dna-classification", model="runs/tutorial", trust_remote_code=True)
answers = classify(sequences)
predicted = np.array([names.index(answer["label"]) for answer in answers])
print(answers[0])
print(f"accuracy: {(predicted == labels).mean():.3f}")
print(confusion_matrix(labels, predicted))

# %% [markdown]
# 5,400 windows are few, and all weights began at random. The checkpoint of `make demo` also learned from whole genes
# without labels, by [self-training](training.md):

# %%
answers = pipeline("dna-classification", model=checkpoint, trust_remote_code=True)(sequences)
predicted = np.array([names.index(answer["label"]) for answer in answers])
print(f"accuracy: {(predicted == labels).mean():.3f}")

# %% [markdown]
# ## Better embeddings
#
# Training has changed the embeddings, too. The same windows before and after:

# %%
after = embed.encode(sequences)
print(f"accuracy of the probe: {(probe(before) == labels[half:]).mean():.3f} before training")
print(f"accuracy of the probe: {(probe(after) == labels[half:]).mean():.3f} after training")
figure, both = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
draw(project(before, seed=0), "Before training", both[0])
draw(project(after, seed=0), "After training", both[1])
_ = figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, markerscale=3)
figure.savefig("docs/umap.png", dpi=120, bbox_inches="tight")

# %% [markdown]
# ## What Hugging Face is for
#
# - **transformers** has the model classes, the `Trainer` and the pipelines; a name is enough to load a checkpoint.
# - **tokenizers** cuts sequences, in Rust.
# - **datasets** keeps millions of windows on disk and feeds them to the training.
# - **accelerate** runs the same training on one device or many; **peft** trains adapters instead of all weights.
# - **evaluate** has the scores; **safetensors** is a format for weights that cannot contain code.
# - **The Hub** stores data sets and checkpoints with their cards, each version under its commit.
#
# Next: [your own labels](howto/own_labels.md), [training](training.md), [predictions](predictions.md),
# [variants](variants.md).
