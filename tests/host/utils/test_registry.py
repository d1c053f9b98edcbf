"""The host's registries name who has a name already."""

import pytest
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY

from fastreid_projects.errors import NameTakenError


@pytest.mark.parametrize(
    "registry, name, sentence",
    [
        (
            BACKBONE_REGISTRY,
            "build_resnet_backbone",
            "the backbone build_resnet_backbone is already registered by ",
        ),
        (REID_HEADS_REGISTRY, "EmbeddingHead", "the head EmbeddingHead is already registered by "),
    ],
)
def test_a_second_object_of_a_name_is_an_error_that_names_the_first(registry, name, sentence):
    first = registry.get(name)
    with pytest.raises(NameTakenError) as error:
        registry.register(type(name, (), {}))
    assert str(error.value).startswith(sentence)
    assert "fastreid/modeling/" in str(error.value)
    assert isinstance(error.value, AssertionError), "as the host's own error is"
    assert registry.get(name) is first
