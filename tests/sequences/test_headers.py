"""Descriptions in the forms of the databases -> the value of a column."""

import pytest

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.headers import values_of
from dnahub.sequences.opening import InputFile
from dnahub.sequences.reader import open_inputs

ENSEMBL = (
    "cds chromosome:GRCh38:7:142847306:142847317:1 gene:ENSG00000282253.1 gene_biotype:TR_D_gene "
    "transcript_biotype:TR_D_gene gene_symbol:TRBD1 description:T cell receptor beta 1 [Source:HGNC Symbol;Acc:HGNC:1]"
)
UNIPROT = "Protein X OS=Plasmodium falciparum (isolate 3D7) OX=36329 GN=PF3D7_01 PE=4 SV=1"
NCBI = "[gene=thrL] [locus_tag=b0001] [db_xref=UniProtKB/Swiss-Prot:P0AD86] [protein=thr operon leader] [gbkey=CDS]"
FLYBASE = "type=CDS; loc=3R:join(1..5,8..9); name=Abd-B-RA; parent=FBgn0000015,FBtr0083384; species=Dmel;"
OURS = "label=heat shock gene:g1 label=other quoted=\"a b; c\" single='x y'"


@pytest.mark.parametrize(
    ("description", "column", "value"),
    [
        (ENSEMBL, "chromosome", "7"),
        (ENSEMBL, "biotype", None),
        (ENSEMBL, "description", "T cell receptor beta 1"),
        ("dna:primary_assembly scaffold:ASM2:KI27.1:1:99:-1 x", "scaffold", "KI27.1"),
        (UNIPROT, "OS", "Plasmodium falciparum (isolate 3D7)"),
        (NCBI, "db_xref", "UniProtKB/Swiss-Prot:P0AD86"),
        (FLYBASE, "parent", "FBgn0000015,FBtr0083384"),
        (OURS, "label", "heat shock"),
        (OURS, "gene", "g1"),
        (OURS, "quoted", "a b; c"),
        (OURS, "single", "x y"),
        ("species='Homo sapiens' of us", "species", "Homo sapiens"),
        ("[protein=DNA polymerase III: subunit] [gene=x]", "protein", "DNA polymerase III: subunit"),
        ("[protein=bifunctional [glutamine] ligase] [gene=x]", "protein", "bifunctional [glutamine] ligase"),
        ("[protein=thioredoxin [Fe-S]]", "protein", "thioredoxin [Fe-S]"),
        ("label=promoter;enhancer;3'UTR gene=x", "label", "promoter;enhancer;3'UTR"),
        ("label=promoter|enhancer | gene=x", "label", "promoter|enhancer"),
        ("size=5;label=a;b;gene=x;", "label", "a;b"),
        ("range=chr1:1-9 5'pad=0 3'pad=0 strand=+", "range", "chr1:1-9"),
        ("label=heat shock: mild gene:x", "label", "heat shock: mild"),
        ("gene=G1, label=b", "gene", "G1"),
        ("gene=G1,label=b,x=1", "label", "b"),
        ("cds plasmid:ASM584v2:pA:1:9:1 gene:b", "plasmid", "pA"),
        ("gene=g1 of a fly", "gene", "g1 of a fly"),
        ("| gene: a | b", "gene", None),
        ("gene=", "gene", None),
        ("[gene=]", "gene", None),
        ("genes=a", "gene", None),
    ],
)
def test_a_value_is_read_as_its_form_means_it(description, column, value):
    assert values_of(column, [description]) == [value]


@pytest.mark.parametrize(
    "text", [">a gene=x\nAC\n>b gene:y\nGT\n", "@a gene=x\nAC\n+\nII\n@b gene:y\nGT\n+\nII\n"], ids=["fasta", "fastq"]
)
def test_columns_are_taken_from_the_descriptions_of_records(tmp_path, text):
    path = tmp_path / ("in.fa" if text[0] == ">" else "in.fq")
    path.write_text(text)
    files, args = [InputFile(str(path))], InputArguments()

    (batch,) = open_inputs(files, args, {"id": "--id_column", "gene": "--group_column"})
    assert batch.table.to_pylist() == [
        {"id": "a", "sequence": "AC", "gene": "x"},
        {"id": "b", "sequence": "GT", "gene": "y"},
    ]
    with pytest.raises(SequenceFileError, match=rf"{path}, record 1 \(a\).* label=.* --label_column"):
        list(open_inputs(files, args, {"label": "--label_column"}))
