"""All that talks to the Hub, on top of huggingface_hub: faults, publishing, downloading."""
