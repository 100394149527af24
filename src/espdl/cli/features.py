"""``espdl features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from espdl.cli.options import FILE, Json, OutputFile

Windows = Literal["hanning", "sine", "hann", "hamming", "povey", "rectangular", "blackman", "none"]


def command(
    wav: Annotated[Path, Parameter(name="IN.wav", help="PCM of 8 to 32 bits or floats.", validator=FILE)],
    /,
    *,
    type: Annotated[Literal["fbank", "mfcc", "spectrogram"], Parameter(help="What is computed of each frame.")] = "fbank",
    output: Annotated[
        OutputFile | None, Parameter(name=["--output", "-o"], help="The .npy file to write: [frames, dim].")
    ] = None,
    plot: Annotated[OutputFile | None, Parameter(help="Draw the features as this .png file.")] = None,
    channel: Annotated[int | None, Parameter(help="Take this channel, from 0; the mean of all by default.")] = None,
    frame_length: Annotated[int, Parameter(help="Milliseconds.")] = 25,
    frame_shift: Annotated[int, Parameter(help="Milliseconds.")] = 10,
    num_mel_bins: Annotated[int, Parameter(help="Filters of the mel bank.")] = 26,
    num_ceps: Annotated[int, Parameter(help="Coefficients of mfcc.")] = 13,
    preemphasis: Annotated[float, Parameter(help="In [0, 1); 0 switches it off.")] = 0.97,
    cepstral_lifter: Annotated[float, Parameter(help="Of mfcc; 0 switches it off.")] = 22.0,
    window: Annotated[Windows, Parameter(help="Shape of the window.")] = "hanning",
    low_freq: Annotated[float, Parameter(help="Lower end of the mel bank in Hz.")] = 80.0,
    high_freq: Annotated[float, Parameter(help="Upper end in Hz; 0 is half the sample rate.")] = 0.0,
    log_epsilon: Annotated[float, Parameter(help="Floor of logarithms.")] = 1.1920928955078125e-07,
    log_fbank: Annotated[Literal[0, 1, 2], Parameter(help="0: energies; 1: log(max(x, floor)); 2: log(x + floor).")] = 1,
    windowed_energy: Annotated[
        bool, Parameter(help="Take the energy behind pre-emphasis and window.", show_default=False)
    ] = False,
    magnitude: Annotated[bool, Parameter(help="Magnitudes instead of powers, in fbank.", show_default=False)] = False,
    energy: Annotated[bool, Parameter(help="Put the log energy in front, in fbank and mfcc.", show_default=False)] = False,
    keep_dc: Annotated[bool, Parameter(help="Do not subtract the mean of a frame.", show_default=False)] = False,
    json: Json = False,
) -> int:
    """Compute speech features of a WAV file as ESP-DL does on the chip.

    The sample rate is that of the file. What a chip's decoder would not take
    (other samples than 16-bit PCM, several channels) is read all the same,
    and said.

    Example: espdl features speech.wav --type mfcc -o mfcc.npy --plot mfcc.png
    """
    from espdl.audio import MFCC, Fbank, Spectrogram, SpeechFeatureConfig, read_wav
    from espdl.audio.plot import features_picture
    from espdl.cli.output import print_facts, print_json
    from espdl.dl.arrays import save_array
    from espdl.errors import EspdlError
    from espdl.fbs.files import require_writable, write_atomically

    for path in (output, plot):
        if path is not None:
            require_writable(path, keep=(wav,))
    recording = read_wav(wav)
    config = SpeechFeatureConfig(
        sample_rate=recording.sample_rate,
        frame_length=frame_length,
        frame_shift=frame_shift,
        num_mel_bins=num_mel_bins,
        num_ceps=num_ceps,
        preemphasis=preemphasis,
        cepstral_lifter=cepstral_lifter,
        window_type=window,
        low_freq=low_freq,
        high_freq=high_freq,
        log_epsilon=log_epsilon,
        use_log_fbank=log_fbank,
        raw_energy=not windowed_energy,
        use_power=not magnitude,
        use_energy=energy,
        remove_dc_offset=not keep_dc,
    )
    feature = {"fbank": Fbank, "mfcc": MFCC, "spectrogram": Spectrogram}[type](config)
    try:
        features = feature.process(recording.mono(channel))
    except EspdlError as error:
        raise error.at(str(wav)) from None
    if output is not None:
        save_array(output, features)
    if plot is not None:
        title = f"{type} of {wav.name}: {len(features)} frames of {feature.dim}"
        write_atomically(plot, features_picture(features, feature.config.shift_size / recording.sample_rate, title))
    if json:
        print_json(
            {
                "wav": wav,
                "type": type,
                "sample_rate": recording.sample_rate,
                "channels": recording.channels,
                "bits": recording.bits,
                "seconds": recording.seconds,
                "chip_reads": recording.chip_reads,
                "frames": len(features),
                "dim": feature.dim,
                "window_size": config.window_size,
                "shift_size": config.shift_size,
                "fft_size": config.fft_size,
                "min": float(features.min()),
                "max": float(features.max()),
                "mean": float(features.mean()),
                "output": output,
                "plot": plot,
            }
        )
        return 0
    kind = f"{recording.bits} bits, {recording.channels} channel{'s' * (recording.channels != 1)}"
    facts = [
        ("recording", f"{recording.seconds:.2f} s at {recording.sample_rate} Hz, {kind}"),
        ("frames", f"{len(features)} of {config.window_size} samples, every {config.shift_size}; transform of {config.fft_size}"),
        (type, f"{list(features.shape)}, from {features.min():.2f} to {features.max():.2f}"),
    ]
    if not recording.chip_reads:
        facts.append(("on the chip", "ESP-DL decodes 16-bit PCM only and takes several channels for one: convert the file"))
    facts += [(name, str(path)) for name, path in (("written", output), ("drawn", plot)) if path is not None]
    print_facts(facts)
    return 0
