"""Networks with quantisers of QONNX are refused with the conversion that helps."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import gscompile
from gscompile.errors import ModelError
from tests.small_networks import model

MAKES = (
    "expected QuantizeLinear and DequantizeLinear: qonnx.transformation.qonnx_to_qcdq.QuantToQCDQ makes them of Quant"
)
CASES = {
    "qonnx.custom_op.general:Quant": "(x, s, z, b)",
    "onnx.brevitas:Quant": "(x, s, z, b)",
    "finn.custom_op.general:BipolarQuant": "(x, s)",
    "qonnx.custom_op.general:Trunc": "(x, s, z, b, b)",
}


@pytest.mark.parametrize("case", CASES)
def test_a_quantiser_of_qonnx_is_refused_with_the_conversion_that_helps(case: str, tmp_path: Path) -> None:
    domain, op = case.split(":")
    proto = model(
        f"""g (float[n,4] x) => (float[n,2] y) <float s, float z, float b, float[4,2] w>
        {{ q = {domain}.{op} {CASES[case]}  y = MatMul (q, w) }}""",
        imports=f', "{domain}" : 1',
    )
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError) as refused:
        gscompile.compile(tmp_path / "m.onnx", crossbar="64x64", out=tmp_path / "o")
    wanted = f"{tmp_path / 'm.onnx'}: {op} 'n0' is a quantiser of QONNX ({domain}); {MAKES}"
    assert str(refused.value) == wanted
    assert refused.value.exit_code == 2


def test_an_op_of_that_name_in_another_domain_is_not_of_qonnx() -> None:
    text = "g (float[n,4] x) => (float[n,4] y) { y = mine.Quant (x) }"
    assert gscompile.compile(model(text, imports=', "mine" : 1'), crossbar="64x64").report.untouched == ()
