    // Fill every input with quantized values: round(real / 2^exponent), clipped to its type.
    for (auto &[name, input] : model->get_inputs()) {
        ESP_LOGI(TAG, "input %s: %d values, exponent %d", name.c_str(), input->get_size(), input->get_exponent());
    }
    model->run();
    for (auto &[name, output] : model->get_outputs()) {
        dl::TensorBase real(output->get_shape(), nullptr, 0, dl::DATA_TYPE_FLOAT);
        real.assign(output);
        ESP_LOGI(TAG, "output %s: %d values, the first is %f", name.c_str(), real.get_size(), real.get_element<float>(0));
    }
